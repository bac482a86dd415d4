/* What the host asks about devices that come and go. */
#include "agent/devices.h"
#include "agent/disk_nodes.h"
#include "agent/server_private.h"
#include "agent/validate.h"
#include "base/sys.h"
#include <limits.h>

void server_find_devices(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	int r = devices_look();

	(void)context;
	(void)request;
	if (r < 0)
		ttrpc_refuse(call, TTRPC_UNKNOWN, "look for devices: %s", sys_text(r));
	else
		server_answer_empty(call);
}

void server_release_device(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__ReleaseDeviceRequest *message = (const void *)request;
	int r = devices_release(message->slot);

	(void)context;
	if (r < 0)
		ttrpc_refuse(call, TTRPC_FAILED_PRECONDITION, "the disk in slot %u: %s",
			     message->slot, sys_text(r));
	else
		server_answer_empty(call);
}

void server_attach_disk(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const message_attach *message = (const void *)request;
	const struct container *container =
	    server_find_container(context, message->container_id, call);
	Katavm__Agent__V1__AttachDiskResponse answer;
	struct disks_found disk;
	char path[PATH_MAX];
	struct error err;

	if (!container)
		return;
	if (validate_attach(message, &err) < 0 ||
	    disk_nodes_attach(container, message, &disk, path, &err) < 0) {
		server_refuse(call, &err);
		return;
	}
	katavm__agent__v1__attach_disk_response__init(&answer);
	answer.path = path;
	answer.major = disk.major;
	answer.minor = disk.minor;
	ttrpc_answer(call, &answer.base);
}

void server_detach_disk(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const message_detach *message = (const void *)request;
	const struct container *container =
	    server_find_container(context, message->container_id, call);
	struct error err;

	if (!container)
		return;
	if (validate_detach(message, &err) < 0 || disk_nodes_detach(container, message, &err) < 0)
		server_refuse(call, &err);
	else
		server_answer_empty(call);
}

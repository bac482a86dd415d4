/*
 * In: the file is opened and locked, the VMM puts the disk into a spare slot, the agent finds it
 * and makes its node. Out: the agent lets go of it, then the VMM. What fails half way is undone by
 * the way out; only what the guest would not let go of stays, and is listed.
 *
 * A VMM that stands still for long does what it was asked when it goes on. Until it has said so a
 * disk keeps its place and the lock of its file.
 */
#include "runtime/session_disks.h"

#include "base/sys.h"
#include "runtime/disk_limits.h"
#include "runtime/session.h"
#include "runtime/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct change {
	const struct session_input *input;
	struct monitor_request *request;
	struct sandbox_disk *disk;
	struct error failed; /* code 0: this is no undoing */
};

struct rules { /* of devices, as the agent wants them */
	size_t count;
	Katavm__Agent__V1__DeviceRule **list;
	Katavm__Agent__V1__DeviceRule own[VMM_MAX_SPARES];
};

static const char *text_of(struct json_object *parameters, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(parameters, key, &value) &&
		       json_object_is_type(value, json_type_string)
		   ? json_object_get_string(value)
		   : NULL;
}

static bool flag_of(struct json_object *parameters, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(parameters, key, &value) && json_object_get_boolean(value);
}

static struct sandbox_disk *find(struct sandbox *sandbox, const char *name)
{
	for (size_t i = 0; name && *name && i < VMM_MAX_SPARES; i++)
		if (strcmp(sandbox->disks[i].name, name) == 0)
			return &sandbox->disks[i];
	return NULL;
}

static void serial_of(const struct sandbox_disk *disk, char out[VMM_SERIAL_SIZE])
{
	memset(out, 0, VMM_SERIAL_SIZE);
	memcpy(out, disk->name, strlen(disk->name));
}

/* One that something may be done with. */
static struct sandbox_disk *find_idle(struct sandbox *sandbox, const char *name, struct error *err)
{
	struct sandbox_disk *disk = find(sandbox, name);
	char serial[VMM_SERIAL_SIZE];

	if (!disk) {
		(void)error_set(err, -ENOENT, "no disk \"%.40s\" was added to it",
				name ? name : "");
		return NULL;
	}
	serial_of(disk, serial);
	if (vmm_disk_is_awaited(sandbox->vmm, serial)) {
		(void)error_set(err, -EBUSY,
				"its VM stands still and has not done yet what was asked about "
				"disk \"%s\"",
				disk->name);
		return NULL;
	}
	return disk;
}

/* Those of the container and of its disks, without `leaving`. A container that has none may use
 * everything, and so it stays. */
static int make_rules(const struct session_input *input, const struct sandbox_disk *leaving,
		      struct rules *rules)
{
	const Katavm__Agent__V1__CreateContainerRequest *container = input->container;

	*rules = (struct rules){ .count = container->n_device_rules };
	if (rules->count == 0)
		return 0;
	rules->list = calloc(rules->count + VMM_MAX_SPARES, sizeof(void *));
	if (!rules->list)
		return -ENOMEM;
	for (size_t i = 0; i < rules->count; i++)
		rules->list[i] = container->device_rules[i];
	for (size_t i = 0; i < VMM_MAX_SPARES; i++) {
		const struct sandbox_disk *disk = &input->sandbox->disks[i];
		Katavm__Agent__V1__DeviceRule *rule = &rules->own[i];

		if (!disk->guest_path || disk == leaving)
			continue;
		katavm__agent__v1__device_rule__init(rule);
		rule->allow = true;
		rule->type = (char *)(uintptr_t) "b";
		rule->major = disk->major;
		rule->minor = disk->minor;
		rule->access = (char *)(uintptr_t)(disk->file.read_only ? "rm" : "rwm");
		rules->list[rules->count++] = rule;
	}
	return 0;
}

static int call_agent(struct change *change, const char *method, const ProtobufCMessage *request,
		      ttrpc_reply_fn *reply, struct error *err)
{
	int r =
	    ttrpc_client_call(change->input->sandbox->agent, &katavm__agent__v1__agent__descriptor,
			      method, request, 0, reply, change);

	return r < 0 ? error_set(err, r, "ask the guest: %s", sys_text(r)) : 0;
}

static void end(struct change *change, struct json_object *result, const struct error *err)
{
	change->input->sandbox->disks_change = false;
	if (err)
		monitor_refuse(change->request, err);
	else
		monitor_answer(change->request, result);
	free(change);
}

static int failure_of(const struct ttrpc_reply *reply, struct error *err)
{
	return reply->error < 0 ? error_set(err, reply->error, "the guest is gone")
				: error_set(err, -EIO, "%.230s", reply->text);
}

static struct change *begin(const struct session_input *input, struct monitor_request *request,
			    struct error *err)
{
	struct change *change;

	if (input->sandbox->disks_change) {
		(void)error_set(err, -EBUSY, "another disk of it comes or goes just now");
		return NULL;
	}
	change = calloc(1, sizeof *change);
	if (!change) {
		(void)error_set(err, -ENOMEM, "no memory for a disk");
		return NULL;
	}
	change->input = input;
	change->request = request;
	input->sandbox->disks_change = true;
	return change;
}

/* ---- out ---- */

static void on_detached(void *context, const struct ttrpc_reply *reply)
{
	struct change *change = context;
	char serial[VMM_SERIAL_SIZE];
	struct error err = { 0 };
	int r = reply->response ? 0 : failure_of(reply, &err);

	if (r == 0) {
		free(change->disk->guest_path); /* its node is gone, whatever follows */
		change->disk->guest_path = NULL;
		serial_of(change->disk, serial);
		r = vmm_remove_disk(change->input->sandbox->vmm, serial, &err);
	}
	if (r == 0)
		sandbox_forget_disk(change->disk);
	if (change->failed.code < 0) /* what the caller is to hear of is the first */
		end(change, NULL, &change->failed);
	else
		end(change, NULL, r < 0 ? &err : NULL);
}

static int detach(struct change *change, bool force, struct error *err)
{
	Katavm__Agent__V1__DetachDiskRequest request = KATAVM__AGENT__V1__DETACH_DISK_REQUEST__INIT;
	const struct sandbox_disk *disk = change->disk;
	struct rules rules;
	int r = make_rules(change->input, disk, &rules);

	if (r < 0)
		return error_set(err, r, "no memory for a disk");
	request.container_id = change->input->container->id;
	request.serial = (char *)(uintptr_t)disk->name;
	request.path = disk->guest_path ? disk->guest_path : (char *)(uintptr_t) "";
	request.slot = disk->slot;
	request.force = force;
	request.n_device_rules = rules.count;
	request.device_rules = rules.list;
	r = call_agent(change, "DetachDisk", &request.base, on_detached, err);
	free(rules.list);
	return r;
}

void session_disks_remove(void *context, struct monitor_request *request,
			  struct json_object *parameters)
{
	const struct session_input *input = context;
	struct error err = { 0 };
	struct sandbox_disk *disk = find_idle(input->sandbox, text_of(parameters, "name"), &err);
	struct change *change = disk ? begin(input, request, &err) : NULL;

	if (change) {
		change->disk = disk;
		if (detach(change, flag_of(parameters, "force"), &err) == 0)
			return;
		end(change, NULL, &err);
		return;
	}
	monitor_refuse(request, &err);
}

/* ---- in ---- */

static void on_attached(void *context, const struct ttrpc_reply *reply)
{
	const Katavm__Agent__V1__AttachDiskResponse *answer = (const void *)reply->response;
	struct change *change = context;
	struct sandbox_disk *disk = change->disk;
	struct json_object *result;
	struct error err;

	if (answer) {
		disk->guest_path = strdup(answer->path);
		disk->major = answer->major;
		disk->minor = answer->minor;
	}
	if (!answer)
		(void)failure_of(reply, &change->failed);
	else if (!disk->guest_path)
		(void)error_set(&change->failed, -ENOMEM, "no memory for a disk");
	if (change->failed.code < 0) {
		if (detach(change, true, &err) < 0)
			end(change, NULL, &change->failed);
		return;
	}
	result = json_object_new_object();
	(void)json_object_object_add(result, "name", json_object_new_string(disk->name));
	(void)json_object_object_add(result, "path", json_object_new_string(disk->guest_path));
	end(change, result, NULL);
}

static int attach(struct change *change, const char *path, struct error *err)
{
	Katavm__Agent__V1__AttachDiskRequest request = KATAVM__AGENT__V1__ATTACH_DISK_REQUEST__INIT;
	struct rules rules;
	int r = make_rules(change->input, change->disk, &rules);

	if (r < 0)
		return error_set(err, r, "no memory for a disk");
	request.container_id = change->input->container->id;
	request.serial = change->disk->name;
	request.path = (char *)(uintptr_t)(path ? path : "");
	request.read_only = change->disk->file.read_only;
	request.n_device_rules = rules.count;
	request.device_rules = rules.list;
	r = call_agent(change, "AttachDisk", &request.base, on_attached, err);
	free(rules.list);
	return r;
}

/* diskN, the first that is free. */
static void choose_name(struct sandbox *sandbox, struct sandbox_disk *disk)
{
	for (unsigned number = 1; !disk->name[0]; number++) {
		char name[VMM_SERIAL_SIZE + 1];

		(void)snprintf(name, sizeof name, "disk%u", number);
		if (!find(sandbox, name))
			memcpy(disk->name, name, sizeof name);
	}
}

static int judge_name(struct sandbox *sandbox, const char *name, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t size = strlen(name);

	if (size == 0 || size > VMM_SERIAL_SIZE || name[0] == '.' || strspn(name, letters) != size)
		return error_set(
		    err, -EINVAL,
		    "--name is of at most %d letters, digits, _ . and -, not \"%.40s\"",
		    VMM_SERIAL_SIZE, name);
	if (find(sandbox, name))
		return error_set(err, -EEXIST, "it has a disk \"%s\" already", name);
	return 0;
}

/* The place for one more. */
static struct sandbox_disk *find_place(const struct session_input *input, struct error *err)
{
	struct sandbox *sandbox = input->sandbox;
	unsigned slots = input->config->disk_slots;

	for (unsigned i = 0; i < slots; i++)
		if (!sandbox->disks[i].name[0])
			return &sandbox->disks[i];
	(void)(slots == 0
		   ? error_set(err, -ENOSPC,
			       "it was started without --disk-slots, so it has no room for more "
			       "disks")
		   : error_set(err, -ENOSPC, "all %u of its --disk-slots have a disk", slots));
	return NULL;
}

static int add(const struct session_input *input, struct sandbox_disk *disk,
	       struct json_object *parameters, struct error *err)
{
	const char *path = text_of(parameters, "file"), *limits = text_of(parameters, "limits");
	struct vmm_disk wanted = { .read_only = flag_of(parameters, "read_only") };
	int r;

	disk->file = (struct disk_file){ .fd = -1,
					 .read_only = wanted.read_only,
					 .is_direct = flag_of(parameters, "direct") };
	if (!path || path[0] != '/')
		return error_set(err, -EINVAL, "disk-add: \"file\" is an absolute path");
	r = limits ? disk_limits_parse("limit", limits, &wanted.rate, err) : 0;
	if (r == 0)
		r = disk_file_open(path, &disk->file, err);
	if (r < 0)
		return r;
	disk->host_path = strdup(path);
	if (!disk->host_path)
		return error_set(err, -ENOMEM, "no memory for a disk");
	wanted.fd = disk->file.fd;
	serial_of(disk, wanted.serial);
	return vmm_add_disk(input->sandbox->vmm, &wanted, &disk->slot, err);
}

void session_disks_add(void *context, struct monitor_request *request,
		       struct json_object *parameters)
{
	const struct session_input *input = context;
	const char *name = text_of(parameters, "name");
	char serial[VMM_SERIAL_SIZE];
	struct error err = { 0 };
	struct change *change = NULL;
	struct sandbox_disk *disk = find_place(input, &err);

	if (disk && (!name || judge_name(input->sandbox, name, &err) == 0))
		change = begin(input, request, &err);
	if (!change) {
		monitor_refuse(request, &err);
		return;
	}
	change->disk = disk;
	if (name)
		(void)snprintf(disk->name, sizeof disk->name, "%s", name);
	else
		choose_name(input->sandbox, disk);
	if (add(input, disk, parameters, &err) < 0) {
		serial_of(disk, serial);
		if (!vmm_disk_is_awaited(input->sandbox->vmm, serial))
			sandbox_forget_disk(disk);
		end(change, NULL, &err);
		return;
	}
	if (attach(change, text_of(parameters, "path"), &err) < 0)
		end(change, NULL, &err); /* no agent: the container ends */
}

/* ---- the rest ---- */

void session_disks_resize(void *context, struct monitor_request *request,
			  struct json_object *parameters)
{
	const struct session_input *input = context;
	struct json_object *bytes = NULL, *result;
	char serial[VMM_SERIAL_SIZE];
	struct error err = { 0 };
	struct sandbox_disk *disk = find_idle(input->sandbox, text_of(parameters, "name"), &err);
	int r = 0;

	if (!disk) {
		monitor_refuse(request, &err);
		return;
	}
	if (json_object_object_get_ex(parameters, "bytes", &bytes))
		r = disk_file_grow(&disk->file, json_object_get_uint64(bytes), &err);
	if (r == 0) {
		serial_of(disk, serial);
		r = vmm_resize_disk(input->sandbox->vmm, serial, &disk->file.bytes, &err);
	}
	if (r < 0) {
		monitor_refuse(request, &err);
		return;
	}
	result = json_object_new_object();
	(void)json_object_object_add(result, "bytes", json_object_new_uint64(disk->file.bytes));
	monitor_answer(request, result);
}

/* Whoever asked for the disk has been told that it failed, so the guest was not told to look for
 * it, and it goes again. A guest that has looked all the same keeps it until it lets go. */
static void take_back(const struct session_input *input, struct sandbox_disk *disk, unsigned slot)
{
	char serial[VMM_SERIAL_SIZE];
	struct error ignored;

	disk->slot = slot;
	serial_of(disk, serial);
	if (vmm_remove_disk(input->sandbox->vmm, serial, &ignored) == 0)
		sandbox_forget_disk(disk);
}

void session_disks_answered(const struct session_input *input, const struct vmm_event *event)
{
	char name[VMM_SERIAL_SIZE + 1] = "";
	struct sandbox_disk *disk;

	memcpy(name, event->serial, VMM_SERIAL_SIZE);
	disk = find(input->sandbox, name);
	if (!disk)
		return;
	switch (event->change) {
	case VMM_DISK_ADDED:
		if (event->code == 0)
			take_back(input, disk, (unsigned)event->value);
		else
			sandbox_forget_disk(disk);
		break;
	case VMM_DISK_REMOVED:
		if (event->code == 0)
			sandbox_forget_disk(disk);
		break;
	case VMM_DISK_RESIZED:
		if (event->code == 0)
			disk->file.bytes = event->value;
		break;
	}
}

static void list(struct json_object *all, const char *name, uint64_t bytes,
		 const struct sandbox_disk *disk)
{
	struct json_object *one = json_object_new_object();

	(void)json_object_object_add(one, "name", json_object_new_string(name));
	(void)json_object_object_add(one, "bytes", json_object_new_uint64(bytes));
	(void)json_object_object_add(one, "fixed", json_object_new_boolean(!disk));
	if (disk) {
		(void)json_object_object_add(one, "file", json_object_new_string(disk->host_path));
		(void)json_object_object_add(one, "read_only",
					     json_object_new_boolean(disk->file.read_only));
	}
	if (disk && disk->guest_path)
		(void)json_object_object_add(one, "path", json_object_new_string(disk->guest_path));
	(void)json_object_array_add(all, one);
}

void session_disks_list(void *context, struct monitor_request *request,
			struct json_object *parameters)
{
	const struct session_input *input = context;
	struct json_object *all = json_object_new_array();

	(void)parameters;
	if (input->config->disk_bytes > 0)
		list(all, SPEC_SCRATCH_SERIAL, input->config->disk_bytes, NULL);
	for (size_t i = 0; i < VMM_MAX_SPARES; i++)
		if (input->sandbox->disks[i].host_path)
			list(all, input->sandbox->disks[i].name,
			     input->sandbox->disks[i].file.bytes, &input->sandbox->disks[i]);
	monitor_answer(request, all);
}

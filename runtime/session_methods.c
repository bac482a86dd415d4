#include "runtime/session_methods.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/session.h"
#include "runtime/session_disks.h"
#include "runtime/session_update.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static void add(struct json_object *object, const char *key, struct json_object *value)
{
	(void)json_object_object_add(object, key, value);
}

static struct json_object *text(const char *from)
{
	return from ? json_object_new_string(from) : NULL;
}

static void inspect(void *context, struct monitor_request *request, struct json_object *parameters)
{
	const struct session_input *input = context;
	const struct run_config *config = input->config;
	struct json_object *result = json_object_new_object();

	(void)parameters;
	add(result, "id", text(config->id));
	add(result, "name", text(config->name));
	add(result, "image", text(config->image));
	add(result, "hostname", text(config->hostname));
	add(result, "cpus", json_object_new_int((int)config->vcpu_count));
	add(result, "memory", json_object_new_uint64(input->sandbox->memory_bytes));
	add(result, "vmm_pid", json_object_new_int(vmm_pid(input->sandbox->vmm)));
	monitor_answer(request, result);
}

/* Each line of the VMM's text is an object. */
static struct json_object *parse_lines(const char *from)
{
	struct json_object *list = json_object_new_array();

	while (*from) {
		struct json_tokener *tokener = json_tokener_new();
		size_t length = strcspn(from, "\n");
		struct json_object *object =
		    tokener ? json_tokener_parse_ex(tokener, from, (int)length + 1) : NULL;

		if (object)
			(void)json_object_array_add(list, object);
		json_tokener_free(tokener);
		from += length + (from[length] == '\n');
	}
	return list;
}

static void devices(void *context, struct monitor_request *request, struct json_object *parameters)
{
	const struct session_input *input = context;
	own_fd file = (int)SYS(memfd_create, "devices", MFD_CLOEXEC);
	own_mem char *lines = calloc(1, MONITOR_ANSWER_MAX);
	struct error err = { 0 };
	long size = -ENOMEM;

	(void)parameters;
	if (file >= 0 && lines) {
		size = vmm_write_stats(input->sandbox->vmm, file, &err);
		if (size == 0)
			size = SYS(pread, file, lines, MONITOR_ANSWER_MAX - 1, 0);
	}
	if (size < 0) {
		if (!err.text[0])
			(void)error_set(&err, (int)size, "devices: %s", sys_text((int)size));
		monitor_refuse(request, &err);
		return;
	}
	monitor_answer(request, parse_lines(lines));
}

const struct monitor_method session_methods[] = {
	{ "devices", devices },
	{ "disk-add", session_disks_add },
	{ "disk-remove", session_disks_remove },
	{ "disk-resize", session_disks_resize },
	{ "disks", session_disks_list },
	{ "inspect", inspect },
	{ "update", session_update },
	{ NULL, NULL },
};

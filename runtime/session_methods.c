#include "runtime/session_methods.h"

#include "runtime/session.h"
#include "runtime/session_update.h"

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

const struct monitor_method session_methods[] = {
	{ "inspect", inspect },
	{ "update", session_update },
	{ NULL, NULL },
};

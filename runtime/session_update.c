/*
 * More memory: the VM is told first, the guest takes it up, and the container's limit is last.
 * Less: the limit first, which may be refused, then the VM. What fails leaves the VM as it was.
 */
#include "runtime/session_update.h"

#include "base/sys.h"
#include "runtime/session.h"

#include <stdlib.h>

enum { LEAST_BYTES = 6 << 20 };

struct update {
	const struct session_input *input;
	struct monitor_request *request;
	uint64_t before_bytes, bytes;
};

static int set_vm(const struct update *update, uint64_t bytes, struct error *err)
{
	return vmm_set_memory(update->input->sandbox->vmm, sandbox_vm_mib(bytes), err);
}

static void on_limit(void *context, const struct ttrpc_reply *reply)
{
	struct update *update = context;
	struct sandbox *sandbox = update->input->sandbox;
	struct error err = { 0 }, ignored;
	int result = 0;

	if (!reply->response)
		result = reply->error < 0 ? error_set(&err, reply->error, "the guest is gone")
					  : error_set(&err, -EBUSY, "%.230s", reply->text);
	else if (update->bytes < update->before_bytes)
		result = set_vm(update, update->bytes, &err);
	if (result < 0 && update->bytes > update->before_bytes && !reply->response)
		(void)set_vm(update, update->before_bytes, &ignored);
	if (reply->response)
		sandbox->memory_bytes = update->bytes;
	sandbox->is_updating = false;
	if (result < 0)
		monitor_refuse(update->request, &err);
	else
		monitor_answer(update->request, NULL);
	free(update);
}

static int begin(struct update *update, struct error *err)
{
	Katavm__Agent__V1__UpdateContainerRequest request =
	    KATAVM__AGENT__V1__UPDATE_CONTAINER_REQUEST__INIT;
	Katavm__Agent__V1__Resources resources = KATAVM__AGENT__V1__RESOURCES__INIT;
	int result = update->bytes > update->before_bytes ? set_vm(update, update->bytes, err) : 0;

	if (result < 0)
		return result;
	resources.memory_max = (int64_t)update->bytes;
	request.container_id = update->input->container->id;
	request.resources = &resources;
	result =
	    ttrpc_client_call(update->input->sandbox->agent, &katavm__agent__v1__agent__descriptor,
			      "UpdateContainer", &request.base, 0, on_limit, update);
	return result < 0 ? error_set(err, result, "ask the guest: %s", sys_text(result)) : 0;
}

static int judge(const struct session_input *input, struct json_object *parameters, uint64_t *bytes,
		 struct error *err)
{
	struct json_object *memory = NULL;

	if (!json_object_object_get_ex(parameters, "memory", &memory) ||
	    !json_object_is_type(memory, json_type_int))
		return error_set(err, -EINVAL, "update: \"memory\" is a number of bytes");
	*bytes = json_object_get_uint64(memory);
	if (*bytes < LEAST_BYTES || *bytes > UINT64_C(1) << 42)
		return error_set(err, -EINVAL, "--memory is too %s",
				 *bytes < LEAST_BYTES ? "small" : "large");
	if (input->sandbox->is_updating)
		return error_set(err, -EBUSY, "another update of it has not ended yet");
	return 0;
}

void session_update(void *context, struct monitor_request *request, struct json_object *parameters)
{
	const struct session_input *input = context;
	struct update *update = NULL;
	struct error err = { 0 };
	uint64_t bytes = 0;
	int result = judge(input, parameters, &bytes, &err);

	if (result == 0) {
		update = calloc(1, sizeof *update);
		result = update ? 0 : error_set(&err, -ENOMEM, "no memory for an update");
	}
	if (result == 0) {
		*update = (struct update){ .input = input,
					   .request = request,
					   .before_bytes = input->sandbox->memory_bytes,
					   .bytes = bytes };
		result = begin(update, &err);
	}
	if (result < 0) {
		monitor_refuse(request, &err);
		free(update);
		return;
	}
	input->sandbox->is_updating = true;
}

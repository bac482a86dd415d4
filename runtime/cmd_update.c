#include "runtime/cmd_update.h"

#include "runtime/containers.h"
#include "runtime/monitor.h"
#include "runtime/parse.h"

#include <stdio.h>

static int update_main(const struct options *options)
{
	const char *value = options_value(options, "memory");
	uint64_t memory_bytes = 0;
	struct error err;
	int status = 0;

	if (!value) {
		(void)fprintf(stderr, "katavm: update: say what is to change, with --memory\n");
		return 125;
	}
	if (parse_bytes("memory", value, &memory_bytes, &err) < 0) {
		(void)fprintf(stderr, "katavm: %s\n", err.text);
		return 125;
	}
	for (size_t i = 0; i < options->argument_count; i++) {
		struct json_object *parameters = json_object_new_object(), *result = NULL;

		(void)json_object_object_add(parameters, "memory",
					     json_object_new_uint64(memory_bytes));
		if (container_call(options->arguments[i], "update", parameters, MONITOR_GUEST_MS,
				   &result, &err) < 0) {
			(void)fprintf(stderr, "katavm: update %s: %s\n", options->arguments[i],
				      err.text);
			status = 1;
		} else {
			(void)printf("%s\n", options->arguments[i]);
		}
		(void)json_object_put(result);
	}
	return status;
}

static const struct option_spec update_options[] = {
	{ "memory", 'm', OPTION_VALUE, "SIZE", "memory for the container from now on", NULL },
	{ "cpus", 0, OPTION_LATER, NULL, "the number of processors is the VM's", NULL },
	{ "memory-swap", 0, OPTION_LATER, NULL, "the guest has no swap", NULL },
	{ "pids-limit", 0, OPTION_LATER, NULL, "only --memory can change yet", NULL },
	{ "restart", 0, OPTION_LATER, NULL, "nothing is restarted", NULL },
	{ 0 },
};

const struct command update_command = {
	.name = "update",
	.arguments = "CONTAINER [CONTAINER...]",
	.summary = "Change how much memory running containers may use",
	.description =
	    "More memory is added to the virtual machine, up to --memory-max of katavm run; "
	    "less is\ntaken away as far as the guest can give it, and the host gets it back. A "
	    "size below what\nthe container uses, after its caches have made room, is refused.",
	.options = update_options,
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.main = update_main,
};

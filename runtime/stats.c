/* katavm stats: what the devices of a container's virtual machine have done. */
#include "runtime/stats.h"

#include "runtime/command_output.h"
#include "runtime/containers.h"
#include "runtime/monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(object, key, &value);
	return value;
}

static uint64_t number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(member(object, key));
}

static const char *text(struct json_object *object, const char *key)
{
	const char *value = json_object_get_string(member(object, key));

	return value ? value : "";
}

/* What the indices say about a queue on which nothing moves. */
static const char *state_of(struct json_object *device, struct json_object *queue)
{
	if (json_object_get_boolean(member(device, "needs_reset")))
		return "broken";
	if (number(queue, "size") == 0)
		return "unused";
	if (number(queue, "in_flight") > 0)
		return "working";
	if (number(queue, "ring_avail") != number(queue, "next_avail"))
		return "offered";
	if (number(device, "interrupt_status") != 0)
		return "interrupt";
	return "idle";
}

static void print_device(struct json_object *device)
{
	struct json_object *queues = member(device, "queues");
	size_t count =
	    json_object_is_type(queues, json_type_array) ? json_object_array_length(queues) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *queue = json_object_array_get_idx(queues, i);

		(void)printf("%4" PRIu64 "  %-14s  %-20s  %5zu  %9" PRIu64 "  %9" PRIu64
			     "  %9" PRIu64 "  %9" PRIu64 "  %12" PRIu64 "  %12" PRIu64 "  %s\n",
			     number(device, "slot"), text(device, "device"), text(device, "serial"),
			     i, number(queue, "requests"), number(queue, "kicks"),
			     number(queue, "interrupts"), number(queue, "merged"),
			     number(queue, "to_guest") >> 10, number(queue, "from_guest") >> 10,
			     state_of(device, queue));
	}
}

static int stats_main(const struct options *options)
{
	const char *format = options_value(options, "format");
	bool json = format && strcmp(format, "json") == 0;
	struct json_object *devices = NULL;
	struct error err;
	size_t count;

	if (!options_flag(options, "devices")) {
		(void)fprintf(stderr, "katavm: stats: only --devices is there so far\n");
		return 125;
	}
	if (container_call(options->arguments[0], "devices", NULL, MONITOR_VMM_MS, &devices, &err) <
	    0)
		return command_failed(&err);
	count =
	    json_object_is_type(devices, json_type_array) ? json_object_array_length(devices) : 0;
	if (!json)
		(void)printf("%4s  %-14s  %-20s  %5s  %9s  %9s  %9s  %9s  %12s  %12s  %s\n", "SLOT",
			     "DEVICE", "SERIAL", "QUEUE", "REQUESTS", "KICKS", "IRQS", "MERGED",
			     "KIB TO GUEST", "KIB FROM IT", "STATE");
	for (size_t i = 0; i < count; i++) {
		struct json_object *device = json_object_array_get_idx(devices, i);

		if (json)
			(void)puts(json_object_to_json_string_ext(device, JSON_C_TO_STRING_PLAIN));
		else
			print_device(device);
	}
	(void)json_object_put(devices);
	return 0;
}

static const struct option_spec stats_options[] = {
	{ "devices", 0, OPTION_FLAG, NULL, "what each device's queues have done", NULL },
	{ "format", 0, OPTION_VALUE, "FORMAT", "a table, or one JSON object a device",
	  "table|json" },
	{ "all", 'a', OPTION_LATER, NULL, "containers that have ended have no devices", NULL },
	{ "no-stream", 0, OPTION_LATER, NULL, "nothing is repeated: it is asked once", NULL },
	{ 0 },
};

const struct command stats_command = {
	.name = "stats",
	.arguments = "CONTAINER",
	.summary = "What the devices of a running container have done",
	.description =
	    "STATE tells where a queue stands that does not move: \"idle\" has nothing to do;\n"
	    "\"offered\" has requests that nobody has taken; \"working\" has some that were taken\n"
	    "and are not given back; \"interrupt\" has told the guest, which has not looked.\n"
	    "MERGED counts interrupts that were not sent because the one before was not\n"
	    "acknowledged yet. The JSON has the indices of the rings, too.",
	.options = stats_options,
	.min_arguments = 1,
	.max_arguments = 1,
	.main = stats_main,
};

#include "runtime/ps.h"

#include "runtime/command_output.h"
#include "runtime/containers.h"
#include "runtime/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct printing {
	struct command_listing listing;
	bool whole; /* ids */
};

static const char *word(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(object, key, &value);
	return value ? json_object_get_string(value) : "";
}

/* What is known of one that does not answer, and that it does not. */
static struct json_object *silent(const struct container_entry *entry)
{
	struct json_object *details = json_object_new_object();

	(void)json_object_object_add(details, "image", json_object_new_string(entry->image));
	return details;
}

static void print_json(const struct container_entry *entry, struct json_object *details,
		       bool answers)
{
	(void)json_object_object_add(details, "answers", json_object_new_boolean(answers));
	(void)json_object_object_add(details, "id", json_object_new_string(entry->id));
	(void)json_object_object_add(details, "name", json_object_new_string(entry->name));
	(void)json_object_object_add(details, "pid", json_object_new_int(entry->pid));
	command_print_json(json_object_get(details), false);
}

static void print_row(const struct container_entry *entry, struct json_object *details,
		      bool answers, int digits)
{
	char memory[32] = "no answer";

	if (answers)
		(void)snprintf(memory, sizeof memory, "%llu MiB",
			       strtoull(word(details, "memory"), NULL, 10) >> 20);
	(void)printf("%-*.*s  %-30s  %4s  %12s  %8d  %s\n", digits, digits, entry->id, entry->image,
		     answers ? word(details, "cpus") : "-", memory, (int)entry->pid, entry->name);
}

static int print(void *context, const struct container_entry *entry)
{
	const struct printing *printing = context;
	struct json_object *details = NULL;
	int digits = printing->whole ? 64 : 12;
	struct error err;
	bool answers;
	int r;

	if (printing->listing.quiet) {
		(void)printf("%.*s\n", digits, entry->id);
		return 0;
	}
	r = container_call(entry->id, "inspect", NULL, MONITOR_OWN_MS, &details, &err);
	if (r < 0 && r != -ETIMEDOUT) /* one that is just ending is not worth a word */
		return 0;
	answers = r == 0;
	if (!answers)
		details = silent(entry);
	if (printing->listing.json)
		print_json(entry, details, answers);
	else
		print_row(entry, details, answers, digits);
	(void)json_object_put(details);
	return 0;
}

static int ps_main(const struct options *options)
{
	struct printing printing = { .listing = command_listing(options),
				     .whole = options_flag(options, "no-trunc") };
	struct error err;

	if (!printing.listing.quiet && !printing.listing.json)
		(void)printf("%-*s  %-30s  %4s  %12s  %8s  %s\n", printing.whole ? 64 : 12,
			     "CONTAINER ID", "IMAGE", "CPUS", "MEMORY", "PID", "NAME");
	return containers_visit(print, &printing, &err) < 0 ? command_failed(&err) : 0;
}

static const struct option_spec ps_options[] = {
	{ "quiet", 'q', OPTION_FLAG, NULL, "print only ids", NULL },
	{ "no-trunc", 0, OPTION_FLAG, NULL, "print ids whole", NULL },
	{ "format", 0, OPTION_VALUE, "FORMAT", "a table, or one JSON object a line", "table|json" },
	{ "all", 'a', OPTION_LATER, NULL, "nothing is kept of containers that have ended", NULL },
	{ "filter", 'f', OPTION_LATER, NULL, "the list is short: use grep", NULL },
	{ 0 },
};

const struct command ps_command = {
	.name = "ps",
	.arguments = "",
	.summary = "List running containers",
	.description = "Of one whose katavm does not answer, because it was stopped or hangs, only "
		       "what it wrote down\n"
		       "is listed, with the words \"no answer\".",
	.options = ps_options,
	.main = ps_main,
};

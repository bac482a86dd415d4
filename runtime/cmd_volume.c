#include "runtime/cmd_volume.h"

#include "runtime/command_output.h"
#include "runtime/volume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const char *root_of(const struct options *options)
{
	return options_value(options, "root");
}

static struct json_object *entry_json(const struct volume_entry *entry)
{
	struct json_object *object = json_object_new_object();
	char made[32] = "";
	struct tm tm;

	if (gmtime_r(&entry->made.tv_sec, &tm))
		(void)strftime(made, sizeof made, "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)json_object_object_add(object, "Name", json_object_new_string(entry->name));
	(void)json_object_object_add(object, "Driver", json_object_new_string("local"));
	(void)json_object_object_add(object, "Mountpoint", json_object_new_string(entry->path));
	(void)json_object_object_add(object, "CreatedAt", json_object_new_string(made));
	(void)json_object_object_add(object, "InUse", json_object_new_boolean(entry->in_use));
	(void)json_object_object_add(object, "Labels", json_object_get(entry->labels));
	return object;
}

/* ---- create ---- */

static struct json_object *labels_of(const struct options *options)
{
	struct json_object *labels = json_object_new_object();
	size_t cursor = 0;
	const char *text;

	while ((text = options_next(options, "label", &cursor))) {
		size_t size = strcspn(text, "=");
		char key[256];

		(void)snprintf(key, sizeof key, "%.*s", (int)size, text);
		(void)json_object_object_add(
		    labels, key, json_object_new_string(text[size] ? text + size + 1 : ""));
	}
	return labels;
}

static int create_main(const struct options *options)
{
	struct json_object *labels = labels_of(options);
	const char *name = options->argument_count ? options->arguments[0] : NULL;
	uint64_t number[2] = { 0 };
	char random_name[40];
	struct error err;
	bool made;
	int result;

	if (!name) {
		if (getrandom(number, sizeof number, 0) != sizeof number)
			return 1;
		(void)snprintf(random_name, sizeof random_name, "%016" PRIx64 "%016" PRIx64,
			       number[0], number[1]);
		name = random_name;
	}
	result = volume_create(root_of(options), name, labels, &made, &err);
	(void)json_object_put(labels);
	if (result < 0)
		return command_failed(&err);
	(void)puts(name);
	return 0;
}

static const struct option_spec create_options[] = {
	{ "label", 'l', OPTION_LIST, "KEY=VALUE", "a label", NULL },
	{ "driver", 'd', OPTION_LATER, NULL, "volumes are folders of this host", NULL },
	{ "opt", 'o', OPTION_LATER, NULL, "volumes are folders of this host", NULL },
	{ 0 },
};

const struct command volume_create_command = {
	.name = "volume create",
	.arguments = "[NAME]",
	.summary = "Make a volume, a folder that outlives containers",
	.description = "katavm run -v NAME:PATH makes it, too. Without NAME it gets one. One that "
		       "is there is\nleft as it is.",
	.options = create_options,
	.max_arguments = 1,
	.main = create_main,
};

/* ---- ls ---- */

static int list_one(void *context, const struct volume_entry *entry)
{
	const struct command_listing *listing = context;

	if (listing->json)
		command_print_json(entry_json(entry), false);
	else if (listing->quiet)
		(void)puts(entry->name);
	else
		(void)printf("%-32s  %-6s  %s\n", entry->name, entry->in_use ? "yes" : "no",
			     entry->path);
	return 0;
}

static int ls_main(const struct options *options)
{
	struct command_listing listing = command_listing(options);
	struct error err;

	if (!listing.quiet && !listing.json)
		(void)printf("%-32s  %-6s  %s\n", "VOLUME NAME", "IN USE", "FOLDER");
	return volumes_visit(root_of(options), list_one, &listing, &err) < 0 ? command_failed(&err)
									     : 0;
}

static const struct option_spec ls_options[] = {
	{ "quiet", 'q', OPTION_FLAG, NULL, "print only names", NULL },
	{ "format", 0, OPTION_VALUE, "FORMAT", "a table, or one JSON object a line", "table|json" },
	{ "filter", 'f', OPTION_LATER, NULL, "the list is short: use grep", NULL },
	{ 0 },
};

const struct command volume_ls_command = {
	.name = "volume ls",
	.arguments = "",
	.summary = "List volumes",
	.options = ls_options,
	.main = ls_main,
};

/* ---- inspect ---- */

static int keep(void *context, const struct volume_entry *entry)
{
	return json_object_array_add(context, entry_json(entry));
}

static int inspect_main(const struct options *options)
{
	struct json_object *all = json_object_new_array();
	struct error err;
	int status = 0;

	for (size_t i = 0; i < options->argument_count; i++)
		if (volume_find(root_of(options), options->arguments[i], keep, all, &err) < 0)
			status = command_failed(&err);
	command_print_json(all, true);
	return status;
}

const struct command volume_inspect_command = {
	.name = "volume inspect",
	.arguments = "NAME...",
	.summary = "Show everything about volumes, as JSON",
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.main = inspect_main,
};

/* ---- rm, prune ---- */

static int rm_main(const struct options *options)
{
	bool force = options_flag(options, "force");
	int status = 0;

	for (size_t i = 0; i < options->argument_count; i++) {
		struct error err;
		int result = volume_remove(root_of(options), options->arguments[i], &err);

		if (result == 0)
			(void)puts(options->arguments[i]);
		else if (result != -ENOENT || !force)
			status = command_failed(&err);
	}
	return status;
}

static const struct option_spec rm_options[] = {
	{ "force", 'f', OPTION_FLAG, NULL, "one that is not there is no failure", NULL },
	{ 0 },
};

const struct command volume_rm_command = {
	.name = "volume rm",
	.arguments = "NAME...",
	.summary = "Remove volumes and what is in them",
	.description = "A volume that a running container uses stays, and that is a failure.",
	.options = rm_options,
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.main = rm_main,
};

static int collect_unused(void *context, const struct volume_entry *entry)
{
	return entry->in_use ? 0
			     : json_object_array_add(context, json_object_new_string(entry->name));
}

static int prune_main(const struct options *options)
{
	struct json_object *names = json_object_new_array();
	struct error err;
	int status = 0;

	if (!options_flag(options, "force")) {
		(void)json_object_put(names);
		(void)fputs("katavm: this removes every volume that no running container uses, and "
			    "what is in them: say --force\n",
			    stderr);
		return 1;
	}
	if (volumes_visit(root_of(options), collect_unused, names, &err) < 0)
		status = command_failed(&err);
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));
		int result = volume_remove(root_of(options), name, &err);

		if (result == 0)
			(void)puts(name);
		else if (result != -EBUSY && result != -ENOENT) /* used or gone meanwhile */
			status = command_failed(&err);
	}
	(void)json_object_put(names);
	return status;
}

static const struct option_spec prune_options[] = {
	{ "force", 'f', OPTION_FLAG, NULL, "do it", NULL },
	{ "filter", 0, OPTION_LATER, NULL, "remove some with volume rm", NULL },
	{ 0 },
};

const struct command volume_prune_command = {
	.name = "volume prune",
	.arguments = "",
	.summary = "Remove the volumes that no running container uses",
	.options = prune_options,
	.main = prune_main,
};

/* katavm disk ls, add, rm, resize: the disks of a running container. */
#include "runtime/cmd_disk.h"

#include "base/own.h"
#include "base/text.h"
#include "runtime/command_output.h"
#include "runtime/containers.h"
#include "runtime/disk_limits.h"
#include "runtime/monitor.h"
#include "runtime/parse.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 125 };

static int misused(const struct error *err)
{
	(void)command_failed(err);
	return EXIT_USAGE;
}

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(object, key, &value);
	return value;
}

static const char *text(struct json_object *object, const char *key)
{
	const char *value = json_object_get_string(member(object, key));

	return value ? value : "";
}

static void put_text(struct json_object *object, const char *key, const char *value)
{
	if (value)
		(void)json_object_object_add(object, key, json_object_new_string(value));
}

static void put_flag(struct json_object *object, const char *key, bool value)
{
	if (value)
		(void)json_object_object_add(object, key, json_object_new_boolean(true));
}

/* Where it is in the container; what the guest said of that may be anything. The caller's to free.
 */
static char *path_of(struct json_object *disk)
{
	bool fixed = json_object_get_boolean(member(disk, "fixed"));
	char *path = strdup(fixed ? "/" : text(disk, "path"));

	if (path)
		text_make_printable(path);
	return path;
}

/* --- ls --- */

static void print_disk(struct json_object *disk)
{
	own_mem char *path = path_of(disk);

	(void)printf("%-20s  %8llu MiB  %-4s  %-24s  %s\n", text(disk, "name"),
		     (unsigned long long)json_object_get_uint64(member(disk, "bytes")) >> 20,
		     json_object_get_boolean(member(disk, "read_only")) ? "ro" : "rw",
		     path ? path : "", text(disk, "file"));
}

static int ls_main(const struct options *options)
{
	const struct command_listing listing = command_listing(options);
	struct json_object *disks = NULL;
	struct error err;
	size_t count;

	if (container_call(options->arguments[0], "disks", NULL, MONITOR_OWN_MS, &disks, &err) < 0)
		return command_failed(&err);
	count = json_object_is_type(disks, json_type_array) ? json_object_array_length(disks) : 0;
	if (!listing.quiet && !listing.json)
		(void)printf("%-20s  %12s  %-4s  %-24s  %s\n", "NAME", "SIZE", "MODE",
			     "IN THE CONTAINER", "FILE");
	for (size_t i = 0; i < count; i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);

		if (listing.quiet)
			(void)puts(text(disk, "name"));
		else if (listing.json)
			command_print_json(json_object_get(disk), false);
		else
			print_disk(disk);
	}
	(void)json_object_put(disks);
	return 0;
}

static const struct option_spec ls_options[] = {
	{ "format", 0, OPTION_VALUE, "FORMAT", "a table, or one JSON object a line", "table|json" },
	{ "quiet", 'q', OPTION_FLAG, NULL, "print only names", NULL },
	{ 0 },
};

const struct command disk_ls_command = {
	.name = "disk ls",
	.arguments = "CONTAINER",
	.summary = "List the disks of a running container",
	.description = "The writable layer is \"scratch\". The image's layers are not listed.",
	.options = ls_options,
	.min_arguments = 1,
	.max_arguments = 1,
	.main = ls_main,
};

/* --- add --- */

static int add_main(const struct options *options)
{
	const char *device = options_value(options, "device");
	const char *limits = options_value(options, "limit");
	own_mem char *file = realpath(options->arguments[1], NULL);
	own_mem char *path = NULL;
	struct json_object *wish, *result = NULL;
	struct vmm_rate ignored;
	struct error err;

	if (device && device[0] != '/') {
		(void)error_set(&err, -EINVAL, "--device is an absolute path, not \"%.100s\"",
				device);
		return misused(&err);
	}
	if (limits && disk_limits_parse("limit", limits, &ignored, &err) < 0)
		return misused(&err);
	wish = json_object_new_object();
	/* what cannot be found is for whoever opens it to say */
	put_text(wish, "file", file ? file : options->arguments[1]);
	put_text(wish, "name", options_value(options, "name"));
	put_text(wish, "path", device);
	put_text(wish, "limits", limits);
	put_flag(wish, "read_only", options_flag(options, "read-only"));
	put_flag(wish, "direct", options_flag(options, "direct"));
	if (container_call(options->arguments[0], "disk-add", wish, MONITOR_GUEST_MS, &result,
			   &err) < 0)
		return command_failed(&err);
	path = path_of(result);
	(void)printf("%s %s\n", text(result, "name"), path ? path : "");
	(void)json_object_put(result);
	return 0;
}

static const struct option_spec add_options[] = {
	{ "device", 0, OPTION_VALUE, "PATH", "its node in the container (default: /dev/vdX)",
	  NULL },
	{ "direct", 0, OPTION_FLAG, NULL, "it does not go through the host's cache", NULL },
	{ "limit", 0, OPTION_VALUE, "LIMITS", "iops=N[:BURST] and bps=SIZE[:BURST], a second",
	  NULL },
	{ "name", 0, OPTION_VALUE, "NAME", "what it is called (default: disk1, disk2...)", NULL },
	{ "read-only", 0, OPTION_FLAG, NULL, "the container cannot write to it", NULL },
	{ 0 },
};

const struct command disk_add_command = {
	.name = "disk add",
	.arguments = "CONTAINER FILE",
	.summary = "Give a running container one more disk",
	.description =
	    "FILE is a file or a block device of the host, taken as it is: raw, whatever is in "
	    "it.\nPrints the disk's name and its node in the container. The container has to be "
	    "started\nwith room for it: --disk-slots of katavm run.",
	.options = add_options,
	.min_arguments = 2,
	.max_arguments = 2,
	.main = add_main,
};

/* --- rm --- */

static int rm_main(const struct options *options)
{
	int status = 0;

	for (size_t i = 1; i < options->argument_count; i++) {
		struct json_object *wish = json_object_new_object(), *result = NULL;
		struct error err;

		put_text(wish, "name", options->arguments[i]);
		put_flag(wish, "force", options_flag(options, "force"));
		if (container_call(options->arguments[0], "disk-remove", wish, MONITOR_GUEST_MS,
				   &result, &err) < 0)
			status = command_failed(&err);
		else
			(void)puts(options->arguments[i]);
		(void)json_object_put(result);
	}
	return status;
}

static const struct option_spec rm_options[] = {
	{ "force", 'f', OPTION_FLAG, NULL, "also when it is mounted: reads and writes fail then",
	  NULL },
	{ 0 },
};

const struct command disk_rm_command = {
	.name = "disk rm",
	.arguments = "CONTAINER NAME...",
	.summary = "Take disks away from a running container",
	.description = "Only those that were added; their files stay as they are.",
	.options = rm_options,
	.min_arguments = 2,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.main = rm_main,
};

/* --- resize --- */

static int resize_main(const struct options *options)
{
	struct json_object *wish, *result = NULL;
	uint64_t bytes = 0;
	struct error err;

	if (options->argument_count == 3 &&
	    parse_bytes("size", options->arguments[2], &bytes, &err) < 0) {
		(void)error_set(&err, -EINVAL, "a size is such as 512m or 1g, not \"%.100s\"",
				options->arguments[2]);
		return misused(&err);
	}
	wish = json_object_new_object();
	put_text(wish, "name", options->arguments[1]);
	if (options->argument_count == 3)
		(void)json_object_object_add(wish, "bytes", json_object_new_uint64(bytes));
	if (container_call(options->arguments[0], "disk-resize", wish, MONITOR_GUEST_MS, &result,
			   &err) < 0)
		return command_failed(&err);
	(void)printf("%llu\n", (unsigned long long)json_object_get_uint64(member(result, "bytes")));
	(void)json_object_put(result);
	return 0;
}

const struct command disk_resize_command = {
	.name = "disk resize",
	.arguments = "CONTAINER NAME [SIZE]",
	.summary = "Make a disk of a running container larger",
	.description =
	    "With SIZE the disk's file grows to it. Without, the container is told of the size "
	    "that\nthe file or block device has by now. Prints the size in bytes. The file system "
	    "on it is\nthe container's to grow.",
	.min_arguments = 2,
	.max_arguments = 3,
	.main = resize_main,
};

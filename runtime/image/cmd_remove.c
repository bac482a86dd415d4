#include "runtime/image/commands.h"

#include "base/own.h"
#include "runtime/command_output.h"
#include "runtime/image/digest.h"
#include "runtime/image/fetch.h"
#include "runtime/image/gc.h"
#include "runtime/image/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int names_of(const struct store *store, const char *id, struct record_name **out,
		    size_t *count, struct error *err)
{
	struct record_name *names;
	size_t all, kept = 0;
	int r = record_names(store, &names, &all, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < all; i++)
		if (strcmp(names[i].id, id) == 0)
			names[kept++] = names[i];
	*out = names;
	*count = kept;
	return 0;
}

static void untag(const struct store *store, const struct record_name *name)
{
	if (record_remove_name(store, name->name) == 0)
		(void)printf("Untagged: %s\n", reference_familiar(name->name));
}

/* By name: the name goes, and the image with its last one. By id: the image with all its names, if
 * there is one name at most. */
static int remove_one(const struct store *store, const char *text, bool is_forced,
		      struct error *err)
{
	own_mem struct record_name *names = NULL;
	struct record_name found;
	struct record record;
	size_t count = 0;
	int r = list_find(store, text, &found, &record, err);

	if (r == 0)
		r = names_of(store, record.id, &names, &count, err);
	if (r < 0)
		return r;
	if (!found.name[0] && count > 1 && !is_forced)
		return error_set(err, -EBUSY,
				 "image %.60s has %zu names: -f removes it all the same", text,
				 count);
	if (found.name[0] && count > 1) {
		untag(store, &found);
		return 0;
	}
	r = is_forced ? 0 : gc_check_unused(store, &record, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		untag(store, &names[i]);
	r = record_remove(store, record.id);
	if (r < 0)
		return error_set(err, r, "remove image %s", text);
	(void)printf("Deleted: %s\n", record.id);
	return 0;
}

static int rmi_main(const struct options *options)
{
	struct gc_result result = { 0 };
	struct store store;
	struct error err;
	own_fd lock = -1;
	int status = 0, r = store_open(options_value(options, "root"), &store, &err);

	if (r == 0)
		r = store_lock(&store, true, &lock, &err);
	if (r < 0)
		return command_failed(&err);
	for (size_t i = 0; i < options->argument_count; i++)
		if (remove_one(&store, options->arguments[i], options_flag(options, "force"),
			       &err) < 0)
			status = command_failed(&err);
	if (gc_objects(&store, &result, &err) < 0)
		status = command_failed(&err);
	gc_result_finish(&result);
	store_close(&store);
	return status;
}

static const struct option_spec rmi_options[] = {
	{ "force", 'f', OPTION_FLAG, NULL,
	  "also if it has several names, or a running container uses it", NULL },
	{ "no-prune", 0, OPTION_LATER, NULL, "layers go with the last image that has them", NULL },
	{ "platform", 0, OPTION_LATER, NULL, "each image is of one platform", NULL },
	{ 0 },
};

const struct command image_rmi_command = {
	.name = "rmi",
	.arguments = "IMAGE...",
	.summary = "Remove images",
	.description =
	    "Layers that a running container uses stay until it ends; prune removes them.",
	.options = rmi_options,
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.main = rmi_main,
};

static bool is_agreed(bool all)
{
	char answer[16] = "";

	(void)printf("This removes %s, layers that no image has, and unfinished downloads.\n"
		     "Go on? [y/N] ",
		     all ? "all images that no container uses" : "images without a name");
	(void)fflush(stdout);
	return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int prune(const struct store *store, bool all, struct gc_result *result, struct error *err)
{
	own_fd lock = -1;
	int r = store_lock(store, true, &lock, err);

	if (r == 0)
		r = gc_images(store, all, result, err);
	if (r == 0)
		r = gc_objects(store, result, err);
	if (r == 0)
		result->freed += store_clean(store, true);
	return r;
}

static int prune_main(const struct options *options)
{
	struct gc_result result = { 0 };
	struct store store;
	struct error err;
	int r = 0;

	if (!options_flag(options, "force") && !isatty(STDIN_FILENO))
		r = error_set(&err, -EINVAL,
			      "prune asks before it removes: give -f where nobody can "
			      "answer");
	if (r < 0)
		return command_failed(&err);
	if (!options_flag(options, "force") && !is_agreed(options_flag(options, "all")))
		return 0;
	r = store_open(options_value(options, "root"), &store, &err);
	if (r < 0)
		return command_failed(&err);
	r = prune(&store, options_flag(options, "all"), &result, &err);
	for (size_t i = 0; i < result.images; i++)
		(void)printf("Deleted: %s\n", result.ids[i]);
	if (r == 0)
		(void)printf("Freed: %.1f MB\n", (double)result.freed / 1e6);
	if (result.busy)
		(void)printf("In use, and kept for now: %zu layers\n", result.busy);
	gc_result_finish(&result);
	store_close(&store);
	return r < 0 ? command_failed(&err) : 0;
}

static const struct option_spec prune_options[] = {
	{ "all", 'a', OPTION_FLAG, NULL, "also images with a name, unless a container uses them",
	  NULL },
	{ "filter", 0, OPTION_LATER, NULL, "prune removes all that it may", NULL },
	{ "force", 'f', OPTION_FLAG, NULL, "do not ask", NULL },
	{ 0 },
};

const struct command image_prune_command = {
	.name = "prune",
	.arguments = "",
	.summary = "Remove what no image name leads to",
	.options = prune_options,
	.main = prune_main,
};

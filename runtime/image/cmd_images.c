#include "runtime/image/commands.h"

#include "base/own.h"
#include "runtime/command_output.h"
#include "runtime/image/digest.h"
#include "runtime/image/document.h"
#include "runtime/image/fetch.h"
#include "runtime/image/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int list_find(const struct store *store, const char *text, struct record_name *name,
	      struct record *record, struct error *err)
{
	struct record_name found = { .name = "" };
	struct fetch fetch;
	int r = fetch_init(&fetch, text, NULL, err);

	if (r < 0)
		return r;
	r = fetch.name[0] ? record_find_name(store, fetch.name, &found, err) : -ENOENT;
	if (r == -ENOENT)
		r = record_find_id(store, text, found.id, err);
	if (r == 0)
		r = record_load(store, found.id, record, err);
	if (r == -ENOENT)
		return error_set(err, r, "there is no image %.100s in the store", text);
	if (r == 0)
		*name = found;
	return r;
}

/* One line of the list: an image by one of its names, or without one. */
struct row {
	struct record_name name;
	struct record record;
};

static int by_age(const void *a, const void *b)
{
	const struct row *left = a, *right = b;

	if (left->record.created != right->record.created)
		return left->record.created < right->record.created ? 1 : -1;
	return strcmp(left->name.name, right->name.name);
}

/* name splits into repository and tag or digest; what is missing is "<none>". */
static void split(const char *name, char repository[REFERENCE_NAME_MAX + 1],
		  char tag[REFERENCE_NAME_MAX + 1])
{
	const char *familiar = reference_familiar(name), *at = strchr(familiar, '@');
	const char *slash = strrchr(familiar, '/'), *colon = strrchr(slash ? slash : familiar, ':');
	const char *end = at ? at : colon;

	(void)snprintf(tag, REFERENCE_NAME_MAX + 1, "%s", at || !colon ? "<none>" : colon + 1);
	if (!*name)
		(void)snprintf(repository, REFERENCE_NAME_MAX + 1, "<none>");
	else
		(void)snprintf(repository, REFERENCE_NAME_MAX + 1, "%.*s",
			       end ? (int)(end - familiar) : REFERENCE_NAME_MAX, familiar);
}

static void age_text(int64_t then, char out[40])
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = {
		{ INT64_C(365) * 86400, "year" },
		{ INT64_C(30) * 86400, "month" },
		{ INT64_C(7) * 86400, "week" },
		{ 86400, "day" },
		{ 3600, "hour" },
		{ 60, "minute" },
		{ 1, "second" },
	};
	int64_t age = time(NULL) - then;

	if (then == 0 || age < 0) {
		(void)snprintf(out, 40, "N/A");
		return;
	}
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		int64_t n = age / units[i].seconds;

		if (n < 2 && units[i].seconds > 1)
			continue;
		(void)snprintf(out, 40, "%lld %s%s ago", (long long)n, units[i].unit,
			       n == 1 ? "" : "s");
		return;
	}
}

static void size_text(uint64_t bytes, char out[24])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1000 && unit < 4) {
		value /= 1000;
		unit++;
	}
	(void)snprintf(out, 24,
		       value < 10    ? "%.2f%s"
		       : value < 100 ? "%.1f%s"
				     : "%.0f%s",
		       value, units[unit]);
}

static bool is_wanted(const struct row *row, const char *filter)
{
	char repository[REFERENCE_NAME_MAX + 1], tag[REFERENCE_NAME_MAX + 1];
	struct reference reference;
	char name[REFERENCE_NAME_MAX + 1];

	if (!filter)
		return true;
	split(row->name.name, repository, tag);
	if (strcmp(repository, filter) == 0)
		return true;
	if (reference_parse(filter, &reference, NULL) < 0 || reference.kind != REFERENCE_REGISTRY)
		return false;
	reference_name(&reference, name);
	if (strcmp(name, row->name.name) == 0)
		return true;
	/* a repository without a tag means all of its tags */
	return strcmp(reference.tag, "latest") == 0 && !strstr(filter, ":latest") &&
	       strncmp(name, row->name.name, strlen(name) - strlen("latest")) == 0;
}

static int add_rows(const struct store *store, struct row **out, size_t *count, struct error *err)
{
	own_mem struct record_name *names = NULL;
	own_mem char(*ids)[IMAGE_DIGEST_SIZE] = NULL;
	size_t name_count = 0, id_count = 0, used = 0;
	struct row *rows;
	int r = record_names(store, &names, &name_count, err);

	if (r == 0)
		r = record_ids(store, &ids, &id_count, err);
	if (r < 0)
		return r;
	rows = calloc(name_count + id_count + 1, sizeof *rows);
	if (!rows)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < name_count; i++) {
		rows[used].name = names[i];
		if (record_load(store, names[i].id, &rows[used].record, NULL) == 0)
			used++;
	}
	for (size_t i = 0; i < id_count; i++) {
		bool is_named = false;

		for (size_t k = 0; k < name_count && !is_named; k++)
			is_named = strcmp(names[k].id, ids[i]) == 0;
		rows[used].name = (struct record_name){ .name = "" };
		if (!is_named && record_load(store, ids[i], &rows[used].record, NULL) == 0)
			used++;
	}
	qsort(rows, used, sizeof *rows, by_age);
	*out = rows;
	*count = used;
	return 0;
}

static void print_json(const struct row *row)
{
	char repository[REFERENCE_NAME_MAX + 1], tag[REFERENCE_NAME_MAX + 1];
	char platform[PLATFORM_TEXT_SIZE], size[24], age[40];
	json_object *object = json_object_new_object();

	split(row->name.name, repository, tag);
	platform_text(&row->record.platform, platform);
	size_text(row->record.size, size);
	age_text(row->record.created, age);
	(void)json_object_object_add(object, "Repository", json_object_new_string(repository));
	(void)json_object_object_add(object, "Tag", json_object_new_string(tag));
	(void)json_object_object_add(
	    object, "Digest",
	    json_object_new_string(row->name.digest[0] ? row->name.digest : "<none>"));
	(void)json_object_object_add(object, "ID", json_object_new_string(row->record.id));
	(void)json_object_object_add(object, "CreatedSince", json_object_new_string(age));
	(void)json_object_object_add(object, "Created", json_object_new_int64(row->record.created));
	(void)json_object_object_add(object, "Size", json_object_new_string(size));
	(void)json_object_object_add(object, "SizeBytes", json_object_new_uint64(row->record.size));
	(void)json_object_object_add(object, "Platform", json_object_new_string(platform));
	command_print_json(object, false);
}

static void print_row(const struct row *row, const struct options *options, int widths[2])
{
	char repository[REFERENCE_NAME_MAX + 1], tag[REFERENCE_NAME_MAX + 1];
	char size[24], age[40], id[IMAGE_DIGEST_SIZE];

	split(row->name.name, repository, tag);
	age_text(row->record.created, age);
	size_text(row->record.size, size);
	(void)snprintf(id, sizeof id, options_flag(options, "no-trunc") ? "%.71s" : "%.12s",
		       options_flag(options, "no-trunc") ? row->record.id
							 : digest_hex(row->record.id));
	if (options_flag(options, "quiet")) {
		(void)printf("%s\n", id);
		return;
	}
	(void)printf("%-*s   %-*s   ", widths[0], repository, widths[1], tag);
	if (options_flag(options, "digests"))
		(void)printf("%-71s   ", row->name.digest[0] ? row->name.digest : "<none>");
	(void)printf("%-12s   %-14s   %s\n", id, age, size);
}

static void print_table(const struct row *rows, size_t count, const struct options *options)
{
	const char *filter = options->argument_count ? options->arguments[0] : NULL;
	int widths[2] = { 10, 3 };

	for (size_t i = 0; i < count; i++) {
		char repository[REFERENCE_NAME_MAX + 1], tag[REFERENCE_NAME_MAX + 1];

		split(rows[i].name.name, repository, tag);
		if ((int)strlen(repository) > widths[0])
			widths[0] = (int)strlen(repository);
		if ((int)strlen(tag) > widths[1])
			widths[1] = (int)strlen(tag);
	}
	if (!options_flag(options, "quiet"))
		(void)printf("%-*s   %-*s   %s%-12s   %-14s   %s\n", widths[0], "REPOSITORY",
			     widths[1], "TAG",
			     options_flag(options, "digests")
				 ? "DIGEST                                                        "
				   "            "
				 : "",
			     "IMAGE ID", "CREATED", "SIZE");
	for (size_t i = 0; i < count; i++)
		if (is_wanted(&rows[i], filter))
			print_row(&rows[i], options, widths);
}

static int images_main(const struct options *options)
{
	const char *format = options_value(options, "format");
	const char *filter = options->argument_count ? options->arguments[0] : NULL;
	own_mem struct row *rows = NULL;
	struct store store;
	struct error err;
	own_fd lock = -1;
	size_t count = 0;
	int r = store_open(options_value(options, "root"), &store, &err);

	if (r < 0)
		return command_failed(&err);
	r = store_lock(&store, false, &lock, &err);
	if (r == 0)
		r = add_rows(&store, &rows, &count, &err);
	store_close(&store);
	if (r < 0)
		return command_failed(&err);
	if (!format || strcmp(format, "json") != 0) {
		print_table(rows, count, options);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		if (is_wanted(&rows[i], filter))
			print_json(&rows[i]);
	return 0;
}

static const struct option_spec images_options[] = {
	{ "all", 'a', OPTION_FLAG, NULL, "every image, which is what is always listed", NULL },
	{ "digests", 0, OPTION_FLAG, NULL, "also show what the registry calls it", NULL },
	{ "filter", 'f', OPTION_LATER, NULL, "images are listed by REPOSITORY[:TAG]", NULL },
	{ "format", 0, OPTION_VALUE, "FORMAT", "table, or json: one object per line",
	  "table|json" },
	{ "no-trunc", 0, OPTION_FLAG, NULL, "do not shorten ids", NULL },
	{ "quiet", 'q', OPTION_FLAG, NULL, "print ids only", NULL },
	{ 0 },
};

const struct command image_images_command = {
	.name = "images",
	.arguments = "[REPOSITORY[:TAG]]",
	.summary = "List the images in the store",
	.options = images_options,
	.max_arguments = 1,
	.main = images_main,
};

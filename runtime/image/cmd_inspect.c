#include "runtime/image/commands.h"

#include "base/own.h"
#include "runtime/command_output.h"
#include "runtime/image/digest.h"
#include "runtime/image/document.h"
#include "runtime/image/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void add_text(json_object *object, const char *key, const char *text)
{
	(void)json_object_object_add(object, key, json_object_new_string(text ? text : ""));
}

/* Moves a field of the configuration as it is. */
static void add_field(json_object *object, const char *key, json_object *from, const char *field)
{
	json_object *value = NULL;

	if (json_object_object_get_ex(from, field, &value) && value)
		(void)json_object_object_add(object, key, json_object_get(value));
}

static bool has_text(json_object *array, const char *text)
{
	for (size_t i = 0; i < json_object_array_length(array); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(array, i)), text) == 0)
			return true;
	return false;
}

/* The layers' diff ids, in Docker's words. */
static json_object *rootfs_object(json_object *config)
{
	json_object *rootfs = json_object_new_object(), *from = NULL;

	add_text(rootfs, "Type", "layers");
	if (json_object_object_get_ex(config, "rootfs", &from) &&
	    json_object_object_get_ex(from, "diff_ids", &from))
		(void)json_object_object_add(rootfs, "Layers", json_object_get(from));
	return rootfs;
}

static int add_names(const struct store *store, const struct record *record, json_object *object,
		     struct error *err)
{
	own_mem struct record_name *names = NULL;
	json_object *tags = json_object_new_array(), *digests = json_object_new_array();
	size_t count = 0;
	int r = record_names(store, &names, &count, err);

	for (size_t i = 0; r == 0 && i < count; i++) {
		const char *familiar = reference_familiar(names[i].name);
		const char *slash = strrchr(familiar, '/');
		size_t end = strcspn(slash ? slash : familiar, ":@") +
			     (slash ? (size_t)(slash - familiar) : 0);
		char text[2 * STORE_NAME_SIZE];

		if (strcmp(names[i].id, record->id) != 0)
			continue;
		if (!strchr(familiar, '@'))
			(void)json_object_array_add(tags, json_object_new_string(familiar));
		if (!names[i].digest[0])
			continue;
		(void)snprintf(text, sizeof text, "%.*s@%s", (int)end, familiar, names[i].digest);
		if (!has_text(digests, text)) /* several tags of one repository */
			(void)json_object_array_add(digests, json_object_new_string(text));
	}
	(void)json_object_object_add(object, "RepoTags", tags);
	(void)json_object_object_add(object, "RepoDigests", digests);
	return r;
}

/* What a container gets: not the layers below one that hides them all. */
static json_object *layers_object(const struct store *store, const struct record *record)
{
	json_object *layers = json_object_new_array();
	struct image_layer layer = { 0 };
	size_t count = 0;

	while (count < record->layer_count && !layer.is_opaque) {
		if (store_open_layer(store, record->layers[count++], &layer, NULL) == 0)
			(void)close(layer.fd);
	}
	for (size_t i = count; i-- > 0;) /* shown bottom first, as diff ids are */
		(void)json_object_array_add(layers, json_object_new_string(record->layers[i]));
	return layers;
}

static int describe(const struct store *store, const char *text, json_object **out,
		    struct error *err)
{
	struct document document = { .what = "the image's configuration", .err = err };
	own_mem char *config_text = NULL;
	own_json *config = NULL;
	json_object *object;
	struct record_name name;
	struct record record;
	size_t size = 0;
	int r = list_find(store, text, &name, &record, err);

	if (r == 0)
		r = store_read(store->blobs_fd, digest_hex(record.id), &config_text, &size, err);
	if (r == -ENOENT && !config_text && err->code != -ENOENT)
		r = error_set(err, r, "the configuration of image %.19s is missing: pull it again",
			      record.id);
	if (r == 0)
		r = document_parse(&document, config_text, size, json_type_object, &config);
	if (r < 0)
		return r;
	object = json_object_new_object();
	add_text(object, "Id", record.id);
	r = add_names(store, &record, object, err);
	add_text(object, "ManifestDigest", record.manifest);
	add_field(object, "Created", config, "created");
	add_field(object, "Author", config, "author");
	add_text(object, "Os", record.platform.os);
	add_text(object, "Architecture", record.platform.architecture);
	if (record.platform.variant[0])
		add_text(object, "Variant", record.platform.variant);
	(void)json_object_object_add(object, "Size", json_object_new_uint64(record.size));
	add_field(object, "Config", config, "config");
	(void)json_object_object_add(object, "RootFS", rootfs_object(config));
	(void)json_object_object_add(object, "StoredLayers", layers_object(store, &record));
	add_field(object, "History", config, "history");
	if (r < 0)
		(void)json_object_put(object);
	else
		*out = object;
	return r;
}

static void print_list(json_object *list, bool is_lines)
{
	for (size_t i = 0; is_lines && i < json_object_array_length(list); i++)
		command_print_json(json_object_get(json_object_array_get_idx(list, i)), false);
	if (!is_lines)
		command_print_json(json_object_get(list), true);
}

static int inspect_main(const struct options *options)
{
	own_json *list = json_object_new_array();
	struct store store;
	struct error err = { 0 };
	own_fd lock = -1;
	int status = 0, r = store_open(options_value(options, "root"), &store, &err);

	if (r == 0)
		r = store_lock(&store, false, &lock, &err);
	if (r < 0)
		return command_failed(&err);
	for (size_t i = 0; i < options->argument_count; i++) {
		json_object *object;

		err = (struct error){ 0 };
		if (describe(&store, options->arguments[i], &object, &err) == 0) {
			(void)json_object_array_add(list, object);
			continue;
		}
		status = command_failed(&err);
	}
	store_close(&store);
	print_list(list, options_value(options, "format") != NULL);
	return status;
}

static const struct option_spec inspect_options[] = {
	{ "format", 'f', OPTION_VALUE, "FORMAT", "json: one object per line", "json" },
	{ "size", 's', OPTION_LATER, NULL, "sizes are always shown", NULL },
	{ "type", 0, OPTION_VALUE, "TYPE", "what is meant by the names: image", "image" },
	{ 0 },
};

const struct command image_inspect_command = {
	.name = "inspect",
	.arguments = "IMAGE...",
	.summary = "Show everything about images, as JSON",
	.options = inspect_options,
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.main = inspect_main,
};

#include "runtime/image/config.h"

#include "base/own.h"
#include "runtime/image/digest.h"
#include "runtime/image/document.h"
#include "runtime/image/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_STRINGS = 16384 };

static int no_memory(const struct document *document)
{
	return error_set(document->err, -ENOMEM, "%s: out of memory", document->what);
}

static int allocate(const struct document *document, const char *key, size_t count,
		    struct image_strings *out)
{
	if (count > MAX_STRINGS)
		return error_set(document->err, -E2BIG, "%s: \"%s\" has too many entries",
				 document->what, key);
	out->items = calloc(count + 1, sizeof *out->items);
	return out->items ? 0 : no_memory(document);
}

/* Copies one text of a list; a NUL in it would make two programs see two texts. */
static int add(const struct document *document, const char *key, const char *text, size_t size,
	       struct image_strings *out)
{
	char *copy;

	if (strlen(text) != size)
		return error_set(document->err, -EINVAL, "%s: \"%s\" contains a NUL character",
				 document->what, key);
	copy = strdup(text);
	if (!copy)
		return no_memory(document);
	out->items[out->count++] = copy;
	return 0;
}

static int parse_list(const struct document *document, json_object *object, const char *key,
		      struct image_strings *out)
{
	json_object *array;
	size_t count;
	int r = document_field(document, object, key, json_type_array, &array);

	if (r < 0 || !array)
		return r;
	count = json_object_array_length(array);
	r = allocate(document, key, count, out);
	for (size_t i = 0; r == 0 && i < count; i++) {
		json_object *item = json_object_array_get_idx(array, i);

		if (!json_object_is_type(item, json_type_string))
			return error_set(document->err, -EINVAL,
					 "%s: \"%s\" has an entry that is not a text",
					 document->what, key);
		r = add(document, key, json_object_get_string(item),
			(size_t)json_object_get_string_len(item), out);
	}
	return r;
}

/* A map: its keys, or KEY=VALUE where it has values. */
static int parse_map(const struct document *document, json_object *object, const char *key,
		     bool has_values, struct image_strings *out)
{
	json_object *map;
	int r = document_field(document, object, key, json_type_object, &map);

	if (r < 0 || !map)
		return r;
	r = allocate(document, key, (size_t)json_object_object_length(map), out);
	json_object_object_foreach(map, name, value)
	{
		own_mem char *pair = NULL;

		if (r < 0)
			break;
		if (!has_values) {
			r = add(document, key, name, strlen(name), out);
			continue;
		}
		if (!json_object_is_type(value, json_type_string))
			return error_set(document->err, -EINVAL,
					 "%s: \"%s\" has a value that is not a text",
					 document->what, key);
		if (asprintf(&pair, "%s=%s", name, json_object_get_string(value)) < 0)
			return no_memory(document);
		r = add(document, key, pair, strlen(pair), out);
	}
	return r;
}

static int parse_text(const struct document *document, json_object *object, const char *key,
		      char **out)
{
	const char *text;
	int r = document_text(document, object, key, &text);

	if (r < 0 || !text || !*text)
		return r;
	*out = strdup(text);
	return *out ? 0 : no_memory(document);
}

static int parse_execution(const struct document *document, json_object *root,
			   struct image_config *out)
{
	json_object *config;
	int r = document_field(document, root, "config", json_type_object, &config);

	if (r < 0 || !config)
		return r;
	r = parse_list(document, config, "Entrypoint", &out->entrypoint);
	if (r == 0)
		r = parse_list(document, config, "Cmd", &out->cmd);
	if (r == 0)
		r = parse_list(document, config, "Env", &out->env);
	if (r == 0)
		r = parse_map(document, config, "Volumes", false, &out->volumes);
	if (r == 0)
		r = parse_map(document, config, "ExposedPorts", false, &out->exposed_ports);
	if (r == 0)
		r = parse_map(document, config, "Labels", true, &out->labels);
	if (r == 0)
		r = parse_text(document, config, "WorkingDir", &out->workdir);
	if (r == 0)
		r = parse_text(document, config, "User", &out->user);
	if (r == 0)
		r = parse_text(document, config, "StopSignal", &out->stop_signal);
	return r;
}

static int parse_layers(const struct document *document, json_object *root, struct config *out)
{
	json_object *rootfs = NULL, *ids = NULL;
	const char *type = NULL;
	size_t count;
	int r = document_need(document, root, "rootfs", json_type_object, &rootfs);

	if (r == 0)
		r = document_need_text(document, rootfs, "type", &type);
	if (r == 0 && strcmp(type, "layers") != 0)
		r = error_set(document->err, -ENOTSUP,
			      "%s: rootfs is of type \"%.40s\", not layers", document->what, type);
	if (r == 0)
		r = document_need(document, rootfs, "diff_ids", json_type_array, &ids);
	if (r < 0)
		return r;
	count = json_object_array_length(ids);
	if (count == 0 || count > MANIFEST_MAX_LAYERS)
		return error_set(document->err, -EINVAL, "%s has %zu layers: 1 to %d are possible",
				 document->what, count, MANIFEST_MAX_LAYERS);
	out->diff_ids = calloc(count, sizeof *out->diff_ids);
	if (!out->diff_ids)
		return no_memory(document);
	for (size_t i = 0; r == 0 && i < count; i++) {
		json_object *id = json_object_array_get_idx(ids, i);

		if (!json_object_is_type(id, json_type_string))
			return error_set(document->err, -EINVAL, "%s: a diff id is not a text",
					 document->what);
		r = digest_parse(json_object_get_string(id), document->what, out->diff_ids[i],
				 document->err);
	}
	out->diff_id_count = count;
	return r;
}

int config_parse(const char *text, size_t size, const char *what, struct config *out,
		 struct error *err)
{
	struct document document = { .what = what, .err = err };
	struct config parsed = { 0 };
	own_json *root = NULL;
	int r = document_parse(&document, text, size, json_type_object, &root);

	if (r == 0)
		r = parse_text(&document, root, "os", &parsed.image.os);
	if (r == 0)
		r = parse_text(&document, root, "architecture", &parsed.image.architecture);
	if (r == 0)
		r = parse_text(&document, root, "variant", &parsed.image.variant);
	if (r == 0)
		r = parse_text(&document, root, "created", &parsed.image.created);
	if (r == 0)
		r = parse_execution(&document, root, &parsed.image);
	if (r == 0)
		r = parse_layers(&document, root, &parsed);
	if (r < 0) {
		config_finish(&parsed);
		return r;
	}
	*out = parsed;
	return 0;
}

static void finish_strings(struct image_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
}

void image_config_finish(struct image_config *config)
{
	finish_strings(&config->entrypoint);
	finish_strings(&config->cmd);
	finish_strings(&config->env);
	finish_strings(&config->volumes);
	finish_strings(&config->exposed_ports);
	finish_strings(&config->labels);
	free(config->workdir);
	free(config->user);
	free(config->stop_signal);
	free(config->created);
	free(config->os);
	free(config->architecture);
	free(config->variant);
	*config = (struct image_config){ 0 };
}

void config_finish(struct config *config)
{
	image_config_finish(&config->image);
	free(config->diff_ids);
	*config = (struct config){ 0 };
}

#include "runtime/image/local_docker.h"

#include "base/own.h"
#include "runtime/image/document.h"
#include "runtime/image/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Do two names, each perhaps in a short form, say the same? */
static bool is_same_name(const char *a, const char *b)
{
	char a_name[REFERENCE_NAME_MAX + 1], b_name[REFERENCE_NAME_MAX + 1];
	struct reference a_reference, b_reference;

	if (reference_parse(a, &a_reference, NULL) < 0 ||
	    reference_parse(b, &b_reference, NULL) < 0 || a_reference.kind != REFERENCE_REGISTRY ||
	    b_reference.kind != REFERENCE_REGISTRY)
		return false;
	reference_name(&a_reference, a_name);
	reference_name(&b_reference, b_name);
	return strcmp(a_name, b_name) == 0;
}

static bool has_name(json_object *tags, const char *name)
{
	for (size_t i = 0; tags && i < json_object_array_length(tags); i++) {
		json_object *tag = json_object_array_get_idx(tags, i);

		if (json_object_is_type(tag, json_type_string) &&
		    is_same_name(json_object_get_string(tag), name))
			return true;
	}
	return false;
}

static int read_list(const struct document *document, struct bundle *bundle, json_object **out)
{
	own_mem char *text = NULL;
	size_t size;
	int r = bundle_text(bundle, "manifest.json", &text, &size, document->err);

	if (r == -ENOENT)
		return error_set(document->err, r,
				 "%.100s is not from docker save: no manifest.json",
				 document->what);
	return r < 0 ? r : document_parse(document, text, size, json_type_array, out);
}

static int pick(const struct document *document, json_object *images,
		const struct reference *reference, size_t index, json_object **out)
{
	size_t count = json_object_array_length(images);

	for (size_t i = 0; i < count; i++) {
		json_object *image = json_object_array_get_idx(images, i), *tags;
		int r;

		if (!json_object_is_type(image, json_type_object))
			return error_set(document->err, -EINVAL, "%s: an entry is not an object",
					 document->what);
		r = document_field(document, image, "RepoTags", json_type_array, &tags);
		if (r < 0)
			return r;
		if (index != LOCAL_ANY  ? i == index
		    : reference->tag[0] ? has_name(tags, reference->tag)
					: count == 1) {
			*out = image;
			return 0;
		}
	}
	if (reference->tag[0])
		return error_set(document->err, -ENOENT, "%s has no image \"%.60s\"",
				 document->what, reference->tag);
	return error_set(document->err, count ? -EINVAL : -ENOENT,
			 "%s has %zu images: say which one, docker-archive:FILE:NAME",
			 document->what, count);
}

static int set_layers(const struct document *document, json_object *layers,
		      struct local_image *image)
{
	size_t count = json_object_array_length(layers);

	if (count == 0 || count > MANIFEST_MAX_LAYERS)
		return error_set(document->err, -EINVAL, "%s: %zu layers, 1 to %d are possible",
				 document->what, count, MANIFEST_MAX_LAYERS);
	image->layer_names = calloc(count, sizeof *image->layer_names);
	image->layer_digests = calloc(count, sizeof *image->layer_digests);
	if (!image->layer_names || !image->layer_digests)
		return error_set(document->err, -ENOMEM, "out of memory");
	image->layer_count = count;
	for (size_t i = 0; i < count; i++) {
		json_object *layer = json_object_array_get_idx(layers, i);

		if (!json_object_is_type(layer, json_type_string))
			return error_set(document->err, -EINVAL, "%s: a layer is not a text",
					 document->what);
		image->layer_names[i] = strdup(json_object_get_string(layer));
		if (!image->layer_names[i])
			return error_set(document->err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int set_names(const struct document *document, json_object *entry, struct local_image *image)
{
	json_object *tags;
	int r = document_field(document, entry, "RepoTags", json_type_array, &tags);

	if (r < 0 || !tags)
		return r;
	image->names = calloc(json_object_array_length(tags) + 1, sizeof *image->names);
	if (!image->names)
		return error_set(document->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < json_object_array_length(tags); i++) {
		json_object *tag = json_object_array_get_idx(tags, i);
		struct reference reference;

		if (!json_object_is_type(tag, json_type_string) ||
		    reference_parse(json_object_get_string(tag), &reference, document->err) < 0 ||
		    reference.kind != REFERENCE_REGISTRY)
			return error_set(document->err, -EINVAL,
					 "%s: one of its names is malformed", document->what);
		reference_name(&reference, image->names[image->name_count++].name);
	}
	return 0;
}

int local_docker_find(struct bundle *bundle, const struct reference *reference, size_t index,
		      const struct platform *platform, struct local_image *image, struct error *err)
{
	struct document document = { .what = reference->path, .err = err };
	own_mem char *config = NULL;
	json_object *entry = NULL, *layers;
	own_json *images = NULL;
	const char *name;
	size_t size;
	int r = read_list(&document, bundle, &images);

	if (r == 0)
		r = pick(&document, images, reference, index, &entry);
	if (r == 0)
		r = document_need_text(&document, entry, "Config", &name);
	if (r == 0)
		r = document_need(&document, entry, "Layers", json_type_array, &layers);
	if (r == 0)
		r = set_layers(&document, layers, image);
	if (r == 0)
		r = set_names(&document, entry, image);
	if (r == 0)
		r = bundle_text(bundle, name, &config, &size, err);
	if (r == 0)
		r = install_config(&image->install, &config, size, NULL, image->layer_count,
				   platform, reference->path, err);
	return r;
}

int local_docker_count(struct bundle *bundle, const char *what, size_t *count, struct error *err)
{
	struct document document = { .what = what, .err = err };
	own_json *images = NULL;
	int r = read_list(&document, bundle, &images);

	if (r < 0)
		return r;
	/* the list is read anew for each image */
	if (json_object_array_length(images) > LOCAL_DOCKER_MAX)
		return error_set(err, -E2BIG, "%s has %zu images: the limit is %d", what,
				 json_object_array_length(images), LOCAL_DOCKER_MAX);
	*count = json_object_array_length(images);
	return 0;
}

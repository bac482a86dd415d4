#include "runtime/image/local.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/digest.h"
#include "runtime/image/document.h"
#include "runtime/image/local_docker.h"
#include "runtime/image/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NESTING = 3, BLOB_NAME = 96 };

static void blob_name(const char *digest, char out[BLOB_NAME])
{
	(void)snprintf(out, BLOB_NAME, "blobs/sha256/%s", digest_hex(digest));
}

/* A document of the layout whose digest and size are known. */
static int read_blob(struct bundle *bundle, const struct descriptor *descriptor, char **text,
		     size_t *size, struct error *err)
{
	char name[BLOB_NAME], digest[IMAGE_DIGEST_SIZE];
	own_mem char *data = NULL;
	size_t length;
	int r;

	blob_name(descriptor->digest, name);
	r = bundle_text(bundle, name, &data, &length, err);
	if (r == 0)
		r = digest_memory(data, length, digest, err);
	if (r < 0)
		return r;
	if (length != descriptor->size || strcmp(digest, descriptor->digest) != 0)
		return error_set(err, -EBADMSG, "%s is damaged: its content is not its digest's",
				 name);
	*size = length;
	*text = take_ptr(data);
	return 0;
}

/* The annotation is a tag by the specification, a whole name as some tools write it. */
static bool has_tag(const struct manifest_entry *entry, const char *tag)
{
	const char *name = entry->ref_name, *colon;

	if (!name)
		return false;
	colon = strrchr(name, ':');
	return strcmp(name, tag) == 0 || (colon && strcmp(colon + 1, tag) == 0);
}

static int pick(const struct manifest *index, const struct reference *reference,
		const struct platform *platform, const struct manifest_entry **out,
		struct error *err)
{
	char tags[120] = "";

	if (!reference->tag[0] && index->entry_count == 1) {
		*out = &index->entries[0];
		return 0;
	}
	for (size_t i = 0; i < index->entry_count; i++) {
		const struct manifest_entry *entry = &index->entries[i];
		size_t used = strlen(tags);

		if (reference->tag[0] && has_tag(entry, reference->tag)) {
			*out = entry;
			return 0;
		}
		if (entry->ref_name)
			(void)snprintf(tags + used, sizeof tags - used, "%s%.60s", used ? ", " : "",
				       entry->ref_name);
	}
	if (reference->tag[0])
		return error_set(err, -ENOENT, "%.80s has no image \"%.40s\"; it has: %s",
				 reference->path, reference->tag, tags[0] ? tags : "no names");
	if (index->entry_count == 0)
		return error_set(err, -ENOENT, "%.100s has no image", reference->path);
	if (manifest_select(index, platform, reference->path, out, NULL) == 0)
		return 0;
	return error_set(err, -EINVAL, "%.80s has %zu images, say which one: %s", reference->path,
			 index->entry_count, tags[0] ? tags : "they have no names");
}

static int read_index(struct bundle *bundle, const char *what, struct manifest *out,
		      struct error *err)
{
	own_mem char *text = NULL;
	size_t size = 0;
	int r = bundle_text(bundle, "index.json", &text, &size, err);

	if (r < 0)
		return r == -ENOENT
			   ? error_set(err, r, "%s is not an OCI image: no index.json", what)
			   : r;
	r = manifest_parse(text, size, NULL, what, out, err);
	if (r == 0 && out->kind != MANIFEST_INDEX) {
		manifest_finish(out);
		r = error_set(err, -EINVAL, "%s: its index.json is not an index", what);
	}
	return r;
}

/* From an entry of index.json down to an image's manifest. */
static int descend(struct bundle *bundle, const struct manifest_entry *from,
		   const struct platform *platform, const char *what, struct install *install,
		   struct manifest *out, struct error *err)
{
	struct descriptor at = from->descriptor;

	for (int depth = 0; depth < MAX_NESTING; depth++) {
		const struct manifest_entry *entry = NULL;
		own_mem char *text = NULL;
		size_t size = 0;
		int r = read_blob(bundle, &at, &text, &size, err);

		if (r == 0)
			r = manifest_parse(text, size, NULL, what, out, err);
		if (r < 0)
			return r;
		if (out->kind == MANIFEST_IMAGE) {
			memcpy(install->manifest_digest, at.digest, sizeof at.digest);
			install->manifest_text = take_ptr(text);
			install->manifest_size = size;
			return 0;
		}
		r = manifest_select(out, platform, what, &entry, err);
		if (r == 0 && entry)
			at = entry->descriptor;
		manifest_finish(out);
		if (r < 0)
			return r;
	}
	return error_set(err, -EINVAL, "%s: its indexes lead to indexes too often", what);
}

static int set_layers(const struct manifest *manifest, struct local_image *image, struct error *err)
{
	image->layer_names = calloc(manifest->layer_count, sizeof *image->layer_names);
	image->layer_digests = calloc(manifest->layer_count, sizeof *image->layer_digests);
	if (!image->layer_names || !image->layer_digests)
		return error_set(err, -ENOMEM, "out of memory");
	image->layer_count = manifest->layer_count;
	for (size_t i = 0; i < image->layer_count; i++) {
		char name[BLOB_NAME];

		blob_name(manifest->layers[i].digest, name);
		image->layer_names[i] = strdup(name);
		image->layer_digests[i] = strdup(manifest->layers[i].digest);
		if (!image->layer_names[i] || !image->layer_digests[i])
			return error_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* A name that the annotation gives in full; a tag alone names nothing. */
static int set_name(const struct manifest_entry *entry, struct local_image *image,
		    struct error *err)
{
	struct reference reference;

	if (!entry->ref_name || !strpbrk(entry->ref_name, "/:") ||
	    reference_parse(entry->ref_name, &reference, NULL) < 0 ||
	    reference.kind != REFERENCE_REGISTRY)
		return 0;
	image->names = calloc(1, sizeof *image->names);
	if (!image->names)
		return error_set(err, -ENOMEM, "out of memory");
	reference_name(&reference, image->names[0].name);
	image->name_count = 1;
	return 0;
}

static int find_oci(struct bundle *bundle, const struct reference *reference,
		    const struct platform *platform, struct local_image *image, struct error *err)
{
	const struct manifest_entry *entry = NULL;
	struct manifest index, manifest = { .kind = MANIFEST_IMAGE };
	own_mem char *text = NULL;
	size_t size = 0;
	int r = read_index(bundle, reference->path, &index, err);

	if (r < 0)
		return r;
	r = pick(&index, reference, platform, &entry, err);
	if (r == 0)
		r = descend(bundle, entry, platform, reference->path, &image->install, &manifest,
			    err);
	if (r == 0)
		r = read_blob(bundle, &manifest.config, &text, &size, err);
	if (r == 0)
		r = install_config(&image->install, &text, size, manifest.config.digest,
				   manifest.layer_count, platform, reference->path, err);
	if (r == 0)
		r = set_layers(&manifest, image, err);
	if (r == 0)
		r = set_name(entry, image, err);
	manifest_finish(&manifest);
	manifest_finish(&index);
	return r;
}

int local_find(struct bundle *bundle, const struct reference *reference, size_t index,
	       const struct platform *platform, struct local_image *out, struct error *err)
{
	struct local_image image = { .bundle = bundle, .path = reference->path };
	int r = reference->kind == REFERENCE_DOCKER_ARCHIVE
		    ? local_docker_find(bundle, reference, index, platform, &image, err)
		    : find_oci(bundle, reference, platform, &image, err);

	if (r < 0) {
		local_finish(&image);
		return r;
	}
	*out = image;
	return 0;
}

void local_finish(struct local_image *image)
{
	for (size_t i = 0; i < image->layer_count; i++) {
		free(image->layer_names ? image->layer_names[i] : NULL);
		free(image->layer_digests ? image->layer_digests[i] : NULL);
	}
	free(image->layer_names);
	free(image->layer_digests);
	free(image->names);
	install_finish(&image->install);
	*image = (struct local_image){ 0 };
}

static int open_layer(void *context, size_t index, int *fd, struct error *err)
{
	const struct local_image *image = context;
	char digest[IMAGE_DIGEST_SIZE];
	own_fd file = -1;
	int r = bundle_file(image->bundle, image->layer_names[index], &file, err);

	if (r == 0 && image->layer_digests[index]) {
		r = digest_file(file, digest, NULL, err);
		if (r == 0 && strcmp(digest, image->layer_digests[index]) != 0)
			r = error_set(err, -EBADMSG,
				      "%s is damaged: its content is not its digest's",
				      image->layer_names[index]);
	}
	if (r == 0)
		*fd = take_fd(&file);
	return r;
}

/* All layers that the store lacks, in one pass through an archive. */
static int prepare_missing(void *context, const struct layer_plan *plan, struct error *err)
{
	struct local_image *image = context;
	own_mem const char **names = calloc(image->layer_count, sizeof *names);
	bool missing[IMAGE_MAX_LAYERS];
	size_t count = 0;
	int r = names ? layers_missing(image->bundle->store, plan, missing, err)
		      : error_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; r == 0 && i < plan->object_count; i++)
		for (size_t k = 0; missing[i] && k < plan->objects[i].count; k++)
			names[count++] =
			    image->layer_names[plan->indices[plan->objects[i].first + k]];
	return r < 0 ? r : bundle_prepare(image->bundle, names, count, err);
}

int local_install(struct local_image *image, const struct store *store, struct progress *progress,
		  int *lock, struct error *err)
{
	struct layer_source source = {
		.planned = prepare_missing,
		.open = open_layer,
		.context = image,
		.what = image->path,
	};

	return install_image(store, &image->install, &source, image->names, image->name_count,
			     progress, lock, err);
}

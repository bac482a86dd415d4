#include "runtime/image/image.h"

#include "base/own.h"
#include "runtime/image/digest.h"
#include "runtime/image/fetch.h"

#include <errno.h>
#include <string.h>

int image_pull_parse(const char *text, enum image_pull *out, struct error *err)
{
	static const char *const words[] = { "missing", "always", "never" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		*out = (enum image_pull)i;
		return 0;
	}
	return error_set(err, -EINVAL, "--pull is missing, always or never, not \"%.40s\"", text);
}

void image_finish(struct image *image)
{
	layers_close(image->layers, image->layer_count);
	image_config_finish(&image->config);
	free(image->name);
	*image = (struct image){ 0 };
}

static int read_config(const struct store *store, const char *id, struct image_config *out,
		       struct error *err)
{
	own_mem char *text = NULL;
	struct config config = { 0 };
	size_t size = 0;
	int r = store_read(store->blobs_fd, digest_hex(id), &text, &size, err);

	if (r == 0)
		r = config_parse(text, size, "the image's configuration", &config, err);
	if (r < 0)
		return r;
	*out = config.image;
	config.image = (struct image_config){ 0 };
	config_finish(&config);
	return 0;
}

/* Under the store's shared lock. -ENOENT, err unset: a part is missing. */
static int open_image(const struct store *store, const char *id, const char *name,
		      struct image *out, struct error *err)
{
	struct image image = { 0 };
	struct record record;
	int r = record_load(store, id, &record, err);

	if (r < 0)
		return r;
	memcpy(image.id, record.id, sizeof image.id);
	memcpy(image.digest, record.manifest, sizeof image.digest);
	r = read_config(store, id, &image.config, err);
	for (size_t i = 0; r == 0 && i < record.layer_count; i++) {
		r = store_open_layer(store, record.layers[i], &image.layers[i], err);
		if (r < 0)
			break;
		image.layer_count++;
		if (image.layers[i].is_opaque) /* overlayfs would show what is below */
			break;
	}
	if (r == 0 && name) {
		image.name = strdup(name);
		r = image.name ? 0 : error_set(err, -ENOMEM, "out of memory");
	}
	if (r < 0) {
		image_finish(&image);
		return r;
	}
	*out = image;
	return 0;
}

/* A name or an id that the store may know; -ENOENT, err unset: it does not, or for another
 * platform, which *other is set to. */
static int find_stored(const struct store *store, const struct fetch *fetch, char other[],
		       struct image *out, struct error *err)
{
	struct record_name name = { .name = "" };
	struct record record;
	own_fd lock = -1;
	int r = store_lock(store, false, &lock, err);

	if (r == 0 && !fetch->is_id)
		r = record_find_name(store, fetch->name, &name, err);
	if (r == -ENOENT || (r == 0 && fetch->is_id)) {
		name.name[0] = '\0';
		r = record_find_id(store, fetch->text, name.id, err);
	}
	if (r == 0)
		r = record_load(store, name.id, &record, err);
	if (r < 0)
		return r;
	if (!platform_matches(&fetch->platform, &record.platform)) {
		platform_text(&record.platform, other);
		return -ENOENT;
	}
	return open_image(store, name.id, name.name[0] ? name.name : NULL, out, err);
}

static int absent(const struct fetch *fetch, const char *other, struct error *err)
{
	if (*other)
		return error_set(err, -ENOENT, "%s is in the store for %s only", fetch->text,
				 other);
	return error_set(err, -ENOENT, "there is no image %s in the store%s", fetch->text,
			 fetch->is_id ? "" : ": katavm pull fetches it");
}

static int fetch_image(const struct store *store, const struct fetch *fetch,
		       struct progress *progress, struct image *out, struct error *err)
{
	char id[IMAGE_DIGEST_SIZE];
	own_fd lock = -1;
	int r = fetch_run(store, fetch, NULL, progress, id, &lock, err);
	bool is_registry = fetch->reference.kind == REFERENCE_REGISTRY;

	progress_finish(progress);
	if (r == 0)
		r = open_image(store, id, is_registry ? fetch->name : NULL, out, err);
	return r == -ENOENT && lock >= 0
		   ? error_set(err, r, "%s lost a part at once: try again", fetch->text)
		   : r;
}

static int resolve(const struct store *store, const struct fetch *fetch, enum image_pull pull,
		   struct progress *progress, struct image *out, struct error *err)
{
	char other[PLATFORM_TEXT_SIZE] = "";

	if (fetch->reference.kind == REFERENCE_REGISTRY &&
	    (pull != IMAGE_PULL_ALWAYS || fetch->is_id)) {
		int r = find_stored(store, fetch, other, out, err);

		if (r != -ENOENT)
			return r;
		if (pull == IMAGE_PULL_NEVER || fetch->is_id)
			return absent(fetch, other, err);
	}
	return fetch_image(store, fetch, progress, out, err);
}

int image_resolve(const char *root, const struct image_request *request, struct image *out,
		  struct error *err)
{
	struct progress progress;
	struct store store = { 0 };
	struct fetch fetch = { 0 };
	int r = fetch_init(&fetch, request->reference, request->platform, err);

	if (r == 0)
		r = store_open(root, &store, err);
	if (r < 0)
		return r;
	progress_init(&progress, request->progress, request->reference);
	r = resolve(&store, &fetch, request->pull, &progress, out, err);
	store_close(&store);
	return r;
}

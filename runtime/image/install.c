#include "runtime/image/install.h"

#include "base/own.h"
#include "runtime/image/digest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void install_finish(struct install *install)
{
	free(install->config_text);
	free(install->manifest_text);
	config_finish(&install->config);
	*install = (struct install){ 0 };
}

static int check_platform(const struct config *config, const struct platform *platform,
			  const char *what, struct error *err)
{
	char wanted[PLATFORM_TEXT_SIZE], is[PLATFORM_TEXT_SIZE];
	struct platform offered;

	platform_set(&offered, config->image.os, config->image.architecture, config->image.variant);
	if (platform_matches(platform, &offered))
		return 0;
	platform_text(platform, wanted);
	platform_text(&offered, is);
	return error_set(err, -ENOENT, "%s is not there for %s, only for: %s", what, wanted, is);
}

int install_config(struct install *install, char **text, size_t size, const char *digest,
		   size_t layer_count, const struct platform *platform, const char *what,
		   struct error *err)
{
	int r;

	install->config_text = take_ptr(*text);
	install->config_size = size;
	r = digest_memory(install->config_text, size, install->id, err);
	if (r < 0)
		return r;
	if (digest && strcmp(digest, install->id) != 0)
		return error_set(err, -EBADMSG,
				 "%s: its configuration does not have the digest %.19s…", what,
				 digest);
	r = config_parse(install->config_text, size, what, &install->config, err);
	if (r == 0)
		r = check_platform(&install->config, platform, what, err);
	if (r == 0 && install->config.diff_id_count != layer_count)
		r = error_set(err, -EINVAL,
			      "%s: its manifest has %zu layers, its configuration %zu", what,
			      layer_count, install->config.diff_id_count);
	return r;
}

static int64_t parse_time(const char *text)
{
	struct tm tm = { 0 };
	time_t seconds;

	if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		return 0;
	seconds = timegm(&tm);
	return seconds > 0 ? seconds : 0;
}

static int save_record(const struct store *store, const struct install *install,
		       const struct image_layer *layers, size_t layer_count, struct error *err)
{
	struct record record = { .layer_count = layer_count, .loaded = time(NULL) }, old;

	memcpy(record.id, install->id, sizeof record.id);
	memcpy(record.manifest, install->manifest_digest, sizeof record.manifest);
	/* docker save's archives have no manifest, but a pull may have brought it before */
	if (!record.manifest[0] && record_load(store, install->id, &old, NULL) == 0)
		memcpy(record.manifest, old.manifest, sizeof record.manifest);
	platform_set(&record.platform, install->config.image.os, install->config.image.architecture,
		     install->config.image.variant);
	record.created = parse_time(install->config.image.created);
	for (size_t i = 0; i < layer_count; i++) {
		memcpy(record.layers[i], layers[i].digest, IMAGE_DIGEST_SIZE);
		record.size += layers[i].size;
	}
	return record_save(store, &record, err);
}

/* Names come last: what a name leads to is there before the name is. */
static int save_all(const struct store *store, const struct install *install,
		    const struct image_layer *layers, size_t layer_count, struct record_name *names,
		    size_t name_count, struct error *err)
{
	int r = store_write(store, store->blobs_fd, digest_hex(install->id), install->config_text,
			    install->config_size, err);

	if (r == 0 && install->manifest_digest[0])
		r = store_write(store, store->blobs_fd, digest_hex(install->manifest_digest),
				install->manifest_text, install->manifest_size, err);
	if (r == 0)
		r = save_record(store, install, layers, layer_count, err);
	for (size_t i = 0; r == 0 && i < name_count; i++) {
		memcpy(names[i].id, install->id, IMAGE_DIGEST_SIZE);
		r = record_save_name(store, &names[i], err);
	}
	return r;
}

/* An image that is here already has been squashed as it must be: its single layers, which may be
 * gone, are not asked for again. */
static size_t known_squash(const struct store *store, const struct install *install,
			   const struct layer_plan *plan)
{
	struct record record;

	if (record_load(store, install->id, &record, NULL) < 0 || record.layer_count == 0 ||
	    record.layer_count >= plan->object_count)
		return 0;
	return plan->index_count - record.layer_count + 1;
}

/* What must be squashed is known when the layers are there: each is converted alone first, as other
 * images may have it above nothing. On success the caller finishes *plan, and closes the layers. */
static int provide(const struct store *store, const struct install *install,
		   const struct layer_source *source, struct progress *progress,
		   struct layer_plan *plan, struct image_layer *layers, struct error *err)
{
	int r = layers_plan(&install->config, 0, plan, err);
	size_t squash = r == 0 ? known_squash(store, install, plan) : 0;

	while (r == 0) {
		if (squash) {
			layers_plan_finish(plan);
			r = layers_plan(&install->config, squash, plan, err);
		}
		if (r == 0)
			r = source->planned(source->context, plan, err);
		if (r == 0)
			r = layers_provide(store, plan, &install->config, source, progress, layers,
					   err);
		squash = r == 0 ? layers_to_squash(plan, layers) : 0;
		if (r == 0 && squash == 0)
			return 0;
		if (r == 0)
			layers_close(layers, plan->object_count);
	}
	layers_plan_finish(plan);
	return r;
}

int install_image(const struct store *store, const struct install *install,
		  const struct layer_source *source, struct record_name *names, size_t name_count,
		  struct progress *progress, int *lock, struct error *err)
{
	struct image_layer layers[IMAGE_MAX_LAYERS];
	struct layer_plan plan = { 0 };
	own_fd held = -1;
	int r = provide(store, install, source, progress, &plan, layers, err);

	if (r != 0)
		return r;
	r = store_lock(store, false, &held, err);
	if (r == 0)
		r = save_all(store, install, layers, plan.object_count, names, name_count, err);
	layers_close(layers, plan.object_count);
	layers_plan_finish(&plan);
	if (r == 0)
		*lock = take_fd(&held);
	return r;
}

/*
 * One EROFS image per layer, shared by all images that have the layer, named by the layer's diff
 * id. A guest gets at most IMAGE_MAX_LAYERS disks: the bottom of a deeper image is one object,
 * named by the chain id, which is a digest of the order of its layers.
 *
 * A layer that occurs twice in an image counts at its upper place only: whatever lies between the
 * two is decided by the upper one again.
 */
#include "runtime/image/layers.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/digest.h"
#include "runtime/layer/layer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TRIES = 5 };

static int chain_id(const struct config *config, const size_t *indices, size_t count,
		    char out[IMAGE_DIGEST_SIZE], struct error *err)
{
	char chain[IMAGE_DIGEST_SIZE], text[2 * IMAGE_DIGEST_SIZE + 1];
	int r = 0;

	memcpy(chain, config->diff_ids[indices[0]], sizeof chain);
	for (size_t i = 1; r == 0 && i < count; i++) {
		int size =
		    snprintf(text, sizeof text, "%s %s", chain, config->diff_ids[indices[i]]);

		r = digest_memory(text, (size_t)size, chain, err);
	}
	memcpy(out, chain, sizeof chain);
	return r;
}

static bool occurs_above(const struct config *config, size_t index)
{
	for (size_t i = index + 1; i < config->diff_id_count; i++)
		if (strcmp(config->diff_ids[i], config->diff_ids[index]) == 0)
			return true;
	return false;
}

int layers_plan(const struct config *config, size_t squash, struct layer_plan *out,
		struct error *err)
{
	struct layer_plan plan = { 0 };
	size_t squashed;
	int r = 0;

	plan.indices = calloc(config->diff_id_count, sizeof *plan.indices);
	if (!plan.indices)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->diff_id_count; i++)
		if (!occurs_above(config, i))
			plan.indices[plan.index_count++] = i;
	squashed =
	    plan.index_count > IMAGE_MAX_LAYERS ? plan.index_count - IMAGE_MAX_LAYERS + 1 : 1;
	if (squashed < squash)
		squashed = squash < plan.index_count ? squash : plan.index_count;
	plan.object_count = plan.index_count - squashed + 1;
	for (size_t i = 0; i < plan.object_count; i++) {
		struct layer_object *object = &plan.objects[i];
		bool is_bottom = i == plan.object_count - 1;

		object->count = is_bottom ? squashed : 1;
		object->first = is_bottom ? 0 : plan.index_count - 1 - i;
		r = chain_id(config, plan.indices + object->first, object->count, object->digest,
			     err);
		if (r < 0) {
			layers_plan_finish(&plan);
			return r;
		}
	}
	*out = plan;
	return 0;
}

size_t layers_to_squash(const struct layer_plan *plan, const struct image_layer *layers)
{
	for (size_t i = 0; i + 1 < plan->object_count && !layers[i].is_opaque; i++)
		if (layers[i].is_implied)
			return plan->objects[i].first + plan->objects[i].count;
	return 0;
}

void layers_plan_finish(struct layer_plan *plan)
{
	free(plan->indices);
	*plan = (struct layer_plan){ 0 };
}

void layers_close(struct image_layer *layers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (layers[i].fd >= 0)
			(void)close(layers[i].fd);
		layers[i].fd = -1;
	}
}

int layers_missing(const struct store *store, const struct layer_plan *plan,
		   bool missing[IMAGE_MAX_LAYERS], struct error *err)
{
	for (size_t i = 0; i < plan->object_count; i++) {
		struct image_layer layer = { .fd = -1 };
		int r = store_open_layer(store, plan->objects[i].digest, &layer, err);

		if (r < 0 && r != -ENOENT)
			return r;
		missing[i] = r == -ENOENT;
		if (r == 0)
			layers_close(&layer, 1);
	}
	return 0;
}

/* The inputs of one conversion, opened from the source. */
struct inputs {
	struct layer_input *items;
	size_t count;
};

static void inputs_finish(struct inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++)
		(void)close(inputs->items[i].fd);
	free(inputs->items);
}

static int inputs_open(const struct layer_plan *plan, const struct layer_object *object,
		       const struct config *config, const struct layer_source *source,
		       struct inputs *inputs, struct error *err)
{
	inputs->items = calloc(object->count, sizeof *inputs->items);
	if (!inputs->items)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < object->count; i++) {
		size_t index = plan->indices[object->first + i];
		int fd = -1, r = source->open(source->context, index, &fd, err);

		if (r < 0)
			return r;
		inputs->items[inputs->count++] = (struct layer_input){
			.fd = fd,
			.compression = LAYER_AUTO,
			.number = (unsigned)index + 1,
			.diff_id = config->diff_ids[index],
		};
	}
	return 0;
}

struct conversion {
	const struct layer_source *source;
	struct progress *progress;
	uint64_t counted; /* of this one's bytes in progress */
};

static int convert_progress(void *context, size_t input, uint64_t tar_bytes)
{
	struct conversion *conversion = context;
	const struct layer_source *source = conversion->source;

	(void)input;
	conversion->progress->unpacked_bytes += tar_bytes - conversion->counted;
	conversion->counted = tar_bytes;
	progress_update(conversion->progress);
	return source->idle ? source->idle(source->context) : 0;
}

static int convert_into(int image_fd, const struct layer_object *object,
			const struct inputs *inputs, const struct layer_source *source,
			struct progress *progress, struct error *err)
{
	struct conversion conversion = { .source = source, .progress = progress };
	struct layer_result result;
	struct error inner;
	int r = layer_convert(
	    &(struct layer_request){
		.inputs = inputs->items,
		.input_count = inputs->count,
		/* alone, a layer may one day lie above another */
		.bottom = object->count > 1,
		.image_fd = image_fd,
		.progress = convert_progress,
		.context = &conversion,
	    },
	    &result, &inner);

	if (r < 0)
		return error_set(err, r, "%.100s: %s", source->what, inner.text);
	progress->unpacked_bytes += result.tar_bytes - conversion.counted;
	return 0;
}

/* Makes one layer, unless another katavm was faster. */
static int make_one(const struct store *store, const struct layer_object *object,
		    const struct inputs *inputs, const struct layer_source *source,
		    struct progress *progress, struct image_layer *out, struct error *err)
{
	char temp[STORE_NAME_SIZE], name[STORE_NAME_SIZE];
	own_fd fd = -1;
	int r;

	(void)snprintf(temp, sizeof temp, "layer-%s", digest_hex(object->digest));
	store_layer_name(object->digest, name);
	r = store_temp(store, temp, true, &fd, err);
	if (r < 0)
		return r;
	r = store_open_layer(store, object->digest, out, err);
	if (r != -ENOENT) {
		store_temp_remove(store, temp);
		return r;
	}
	r = convert_into(fd, object, inputs, source, progress, err);
	if (r == 0)
		r = store_publish(store, temp, fd, store->layers_fd, name, err);
	if (r < 0) {
		store_temp_remove(store, temp);
		return r == -ENOSPC ? error_set(err, r, "the disk of %s is full", store->root) : r;
	}
	/* The exclusive lock that the maker holds turns into the user's shared one. */
	(void)close(take_fd(&fd));
	r = store_open_layer(store, object->digest, out, err);
	return r == -ENOENT ? error_set(err, -EAGAIN,
					"layer %.19s was removed at once by another katavm: try "
					"again",
					object->digest)
			    : r;
}

/* The inputs are complete before the layer's lock is taken: whoever holds a lock waits for nobody.
 * What the source finds needless has been made by another katavm. */
static int provide_one(const struct store *store, const struct layer_plan *plan,
		       const struct layer_object *object, const struct config *config,
		       const struct layer_source *source, struct progress *progress,
		       struct image_layer *out, struct error *err)
{
	for (int tries = 0; tries < MAX_TRIES; tries++) {
		struct inputs inputs = { 0 };
		int r = store_open_layer(store, object->digest, out, err);

		if (r != -ENOENT)
			return r;
		r = inputs_open(plan, object, config, source, &inputs, err);
		if (r == 0)
			r = make_one(store, object, &inputs, source, progress, out, err);
		inputs_finish(&inputs);
		if (r != -EALREADY)
			return r;
	}
	return error_set(err, -EAGAIN, "layer %.19s… comes and goes: try again", object->digest);
}

int layers_provide(const struct store *store, const struct layer_plan *plan,
		   const struct config *config, const struct layer_source *source,
		   struct progress *progress, struct image_layer out[IMAGE_MAX_LAYERS],
		   struct error *err)
{
	struct image_layer layers[IMAGE_MAX_LAYERS] = { 0 };
	size_t at = plan->object_count;

	progress->layers = (unsigned)plan->object_count;
	progress->layers_done = 0;
	while (at > 0) { /* from the bottom up: the order in which downloads were started */
		const struct layer_object *object = &plan->objects[--at];
		int r = store_open_layer(store, object->digest, &layers[at], err);
		bool is_new = r == -ENOENT;

		if (is_new) {
			r = provide_one(store, plan, object, config, source, progress, &layers[at],
					err);
			for (size_t i = 0; r == 0 && source->done && i < object->count; i++)
				source->done(source->context, plan->indices[object->first + i]);
		}
		if (r < 0) {
			layers_close(layers + at + 1, plan->object_count - at - 1);
			return r;
		}
		progress->layers_done++;
		progress_event(progress, "layer", object->digest, is_new ? "stored" : "present");
	}
	memcpy(out, layers, plan->object_count * sizeof *layers);
	return 0;
}

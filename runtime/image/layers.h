#pragma once
#include "runtime/image/config.h"
#include "runtime/image/progress.h"
#include "runtime/image/store.h"

/* The disks of an image: which layers it needs in the store, and making those that are missing. */
struct layer_object {
	char digest[IMAGE_DIGEST_SIZE]; /* diff id, or chain id of a squashed bottom */
	size_t first, count;            /* of layer_plan.indices */
};

struct layer_plan {
	struct layer_object objects[IMAGE_MAX_LAYERS]; /* top first */
	size_t object_count;
	size_t *indices; /* into the configuration's diff ids, bottom first, each content once */
	size_t index_count;
};

/* Computes a digest only for an image with more than IMAGE_MAX_LAYERS. */
int layers_plan(const struct config *config, struct layer_plan *out, struct error *err);
void layers_plan_finish(struct layer_plan *plan);

/* Where the layers' tars come from, by their index in the configuration. */
struct layer_source {
	/* A verified blob, at its start; the caller closes *fd. */
	int (*open)(void *context, size_t index, int *fd, struct error *err);
	/* The blob became part of a stored layer and is not needed again; may be NULL. */
	void (*done)(void *context, size_t index);
	/* Called often while a layer is converted; negative cancels; may be NULL. */
	int (*idle)(void *context);
	void *context;
	const char *what; /* the image, as errors call it */
};

/* Is every object of the plan in the store, but for those marked in missing? */
int layers_missing(const struct store *store, const struct layer_plan *plan,
		   bool missing[IMAGE_MAX_LAYERS], struct error *err);

/* Opens every layer of the plan, converting those that are missing. On success out has
 * plan->object_count open layers, which the caller closes. */
int layers_provide(const struct store *store, const struct layer_plan *plan,
		   const struct config *config, const struct layer_source *source,
		   struct progress *progress, struct image_layer out[IMAGE_MAX_LAYERS],
		   struct error *err);

void layers_close(struct image_layer *layers, size_t count);

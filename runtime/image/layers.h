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

/* At least `squash` of the lowest layers become one object; 0: as few as possible. Computes a
 * digest only where layers are squashed. */
int layers_plan(const struct config *config, size_t squash, struct layer_plan *out,
		struct error *err);
void layers_plan_finish(struct layer_plan *plan);

/* Where the layers' tars come from, by their index in the configuration. */
struct layer_source {
	/* Before layers are asked for: these will be. Again when they turn out to need another
	 * plan. */
	int (*planned)(void *context, const struct layer_plan *plan, struct error *err);
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

/*
 * How many of the plan's lowest layers must be squashed, because one of them has folders that its
 * tar only leads through (tmp/x without tmp/): overlayfs would take their default owner and mode,
 * where everybody else keeps those of the layers below. 0: none. layers are those of the plan.
 */
size_t layers_to_squash(const struct layer_plan *plan, const struct image_layer *layers);

void layers_close(struct image_layer *layers, size_t count);

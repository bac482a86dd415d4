#pragma once
#include "runtime/image/record.h"

/* Removing. All of it is done under the store's exclusive lock, which the caller holds. */
struct gc_result {
	uint64_t freed; /* bytes */
	size_t busy;    /* layers that are in use by a running container, and stay for now */
	size_t images;  /* removed */
	char (*ids)[IMAGE_DIGEST_SIZE];
};

/* Removes the images that have no name; all: also those that have, unless one of their layers is in
 * use. */
int gc_images(const struct store *store, bool all, struct gc_result *result, struct error *err);

/* Removes the layers and documents that no image has. */
int gc_objects(const struct store *store, struct gc_result *result, struct error *err);

void gc_result_finish(struct gc_result *result);

/* -EBUSY: a layer that only this image has is in use by a running container. */
int gc_check_unused(const struct store *store, const struct record *record, struct error *err);

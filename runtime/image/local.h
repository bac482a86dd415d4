#pragma once
#include "runtime/image/bundle.h"
#include "runtime/image/install.h"
#include <stdint.h>

/* Images that lie here: OCI layouts, and what docker save writes. */
struct local_image {
	struct bundle *bundle; /* borrowed */
	const char *path;      /* for sentences; borrowed from the reference */
	struct install install;
	char **layer_names;   /* members, bottom first */
	char **layer_digests; /* what they must be; NULL where the diff id says it */
	size_t layer_count;
	struct record_name *names; /* that the archive gives it; only with kept names */
	size_t name_count;
};

/* Picks the image that reference->tag names (or the only one, or the one for the platform), and
 * reads its documents. The reference's kind is that of the bundle. An index that is not LOCAL_ANY
 * is the image's number in the list of docker save instead, from 0. */
#define LOCAL_ANY SIZE_MAX
int local_find(struct bundle *bundle, const struct reference *reference, size_t index,
	       const struct platform *platform, struct local_image *out, struct error *err);
void local_finish(struct local_image *image);

/* A source for install_image; idle during conversion updates progress. */
int local_install(struct local_image *image, const struct store *store, struct progress *progress,
		  int *lock, struct error *err);

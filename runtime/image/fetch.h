#pragma once
#include "runtime/image/install.h"

/* Bringing an image into the store, wherever it is. */
struct fetch {
	const char *text; /* as the user wrote it; borrowed */
	bool is_id;       /* text can only be an image's id */
	struct reference reference;
	char name[REFERENCE_NAME_MAX + 1]; /* whole name of a registry's; "" for a local one */
	struct platform platform;
};

int fetch_init(struct fetch *fetch, const char *text, const char *platform, struct error *err);

/* Fetches or loads. name: one to give to a local image, or NULL. *lock is the store's shared lock,
 * which keeps what came; the caller closes it. */
int fetch_run(const struct store *store, const struct fetch *fetch, const char *name,
	      struct progress *progress, char id[IMAGE_DIGEST_SIZE], int *lock, struct error *err);

#pragma once
#include "runtime/image/layers.h"
#include "runtime/image/record.h"

/* An image whose documents were fetched and verified, about to become part of the store. */
struct install {
	char id[IMAGE_DIGEST_SIZE]; /* digest of config_text */
	char *config_text;
	size_t config_size;
	char manifest_digest[IMAGE_DIGEST_SIZE]; /* "" for docker save's */
	char *manifest_text;
	size_t manifest_size;
	struct config config;
};

void install_finish(struct install *install);

/* Takes over *text (of size bytes), which must be the configuration called digest (NULL: of
 * whatever digest), and be for the platform and of layer_count layers. */
int install_config(struct install *install, char **text, size_t size, const char *digest,
		   size_t layer_count, const struct platform *platform, const char *what,
		   struct error *err);

/* Provides the layers, then writes documents, record and names (their ids are set here). *lock is
 * the store's shared lock: until the caller closes it, nothing removes what was installed. */
int install_image(const struct store *store, const struct install *install,
		  const struct layer_source *source, struct record_name *names, size_t name_count,
		  struct progress *progress, int *lock, struct error *err);

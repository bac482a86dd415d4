#pragma once
#include "runtime/image/image.h"
#include <stddef.h>

/* An image's configuration, as its digest names it. */
struct config {
	struct image_config image;
	char (*diff_ids)[IMAGE_DIGEST_SIZE]; /* uncompressed layers, bottom first */
	size_t diff_id_count;
};

int config_parse(const char *text, size_t size, const char *what, struct config *out,
		 struct error *err);
void config_finish(struct config *config);

void image_config_finish(struct image_config *config);

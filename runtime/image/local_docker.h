#pragma once
#include "runtime/image/local.h"

/* What docker save writes: manifest.json lists images, each with its configuration and layers. */
int local_docker_find(struct bundle *bundle, const struct reference *reference,
		      const struct platform *platform, struct local_image *image,
		      struct error *err);

/* The first name of each image that has one; for loading them all. */
size_t local_docker_names(struct bundle *bundle, char (*names)[REFERENCE_NAME_MAX + 1],
			  size_t room);

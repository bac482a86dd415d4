#pragma once
#include "runtime/image/local.h"

/* What docker save writes: manifest.json lists images, each with its configuration and layers. */
enum { LOCAL_DOCKER_MAX = 1024 };

int local_docker_find(struct bundle *bundle, const struct reference *reference, size_t index,
		      const struct platform *platform, struct local_image *image,
		      struct error *err);

/* How many images there are, for loading them all; what is the archive's name, for sentences. */
int local_docker_count(struct bundle *bundle, const char *what, size_t *count, struct error *err);

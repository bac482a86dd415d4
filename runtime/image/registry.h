#pragma once
#include "runtime/image/fetch.h"

/* Pulls by the OCI distribution specification. */
int registry_pull(const struct store *store, const struct fetch *fetch, struct progress *progress,
		  char id[IMAGE_DIGEST_SIZE], int *lock, struct error *err);

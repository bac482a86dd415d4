#pragma once
#include "base/error.h"
#include <stddef.h>

/* What is used of libcrypto, loaded when the first digest is computed: a run of an image that is in
 * the store computes none, and does not pay for the library. */
struct lib_crypto {
	void *(*context_new)(void);
	void (*context_free)(void *context);
	const void *(*sha256)(void);
	int (*init)(void *context, const void *type, void *engine);
	int (*update)(void *context, const void *data, size_t size);
	int (*final)(void *context, unsigned char *out, unsigned *size);
};

/* NULL with err filled when the library is missing. */
const struct lib_crypto *lib_crypto(struct error *err);

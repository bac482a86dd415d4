#pragma once
#include "base/error.h"
#include "runtime/layer/layer.h"

/* What the decompressing child does. Bytes come from one place and go to another; both ends are
 * functions, so that it runs anywhere. */
struct inflate_io {
	/* 1 and a piece that is not empty, 0 at the end, or -errno */
	int (*next)(void *context, const uint8_t **data, size_t *size);
	/* The buffer that output goes to, and its bytes. */
	uint8_t *buffer;
	size_t room;
	int (*flush)(void *context, size_t size);
	void *context;
};

/* 0, -EBADMSG for damaged or truncated input, or another -errno. */
int inflate_stream(const struct inflate_io *io, enum layer_compression compression,
		   struct error *err);

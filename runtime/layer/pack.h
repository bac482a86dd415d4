#pragma once
#include "base/error.h"
#include "runtime/layer/tar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the tar-reading child does: uncompressed tars in, an image out. Trusts nothing it reads. */
struct pack_options {
	unsigned layer_count;
	bool bottom; /* see layer.h */
	uint64_t max_entries;
	uint8_t uuid[16];
};

/* The label of an image whose root hides the layers below it. */
#define PACK_LABEL_OPAQUE "opaque"
/* Of one with folders that its tar does not describe: overlayfs would take their default owner and
 * mode over those of the same folders below. */
#define PACK_LABEL_IMPLIED "implied"

struct pack_result {
	uint64_t image_bytes;
	uint64_t inodes;
};

/* source gives the tars one after the other: its `next` answers 0 once at the end of each. Each is
 * read to its end, also what is behind the archive's end. *layer is always the one at hand, from 0:
 * after an error it is the one that err speaks of. Errors as layer.h has them. */
int pack_layers(const struct tar_source *source, const struct pack_options *options, int image_fd,
		unsigned *layer, struct pack_result *result, struct error *err);

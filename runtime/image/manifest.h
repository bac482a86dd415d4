#pragma once
#include "runtime/image/image.h"
#include "runtime/image/platform.h"
#include <stdbool.h>

/* Manifests and indexes as registries and OCI layouts have them, in OCI's and Docker's words. */
enum { MANIFEST_MAX_LAYERS = 512, MANIFEST_MAX_ENTRIES = 1024 };

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

struct descriptor {
	char digest[IMAGE_DIGEST_SIZE];
	uint64_t size;
};

struct manifest_entry { /* of an index */
	struct descriptor descriptor;
	struct platform platform;
	bool has_platform;
	bool is_index;  /* an index in an index */
	char *ref_name; /* annotation: a tag, or a whole name; NULL: none */
};

struct manifest {
	enum manifest_kind kind;
	/* an image's */
	struct descriptor config;
	struct descriptor *layers; /* bottom first */
	size_t layer_count;
	/* an index's */
	struct manifest_entry *entries;
	size_t entry_count, entry_slots;
};

/* media_type: from the Content-Type or the descriptor, NULL where nothing says it. what: for
 * errors. Anything that this program could not run later is refused here, with its name. */
int manifest_parse(const char *text, size_t size, const char *media_type, const char *what,
		   struct manifest *out, struct error *err);
void manifest_finish(struct manifest *manifest);

/* The index's entry for a platform; -ENOENT names the platforms there are. */
int manifest_select(const struct manifest *index, const struct platform *platform, const char *what,
		    const struct manifest_entry **out, struct error *err);

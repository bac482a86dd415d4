#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Layer tars become one EROFS image.
 *
 * The caller's process never parses a layer. One confined child decompresses it, this process
 * hashes what comes out and compares it with diff_id, and a second confined child, which has seen
 * nothing but those hashed bytes, reads the tar and writes the image. So an image stored under a
 * diff_id was made from the content of that diff_id, whatever a hostile layer does to the parsers.
 *
 * Several inputs (the bottom layers of an image with many) are squashed into one image.
 */

/* argv[0] of the children; main() hands such a process to layer_main() before anything else. */
#define LAYER_ROLE "katavm-layer"

enum layer_compression {
	LAYER_AUTO, /* told from the first bytes, as every other puller of images does */
	LAYER_PLAIN,
	LAYER_GZIP,
	LAYER_ZSTD,
};

/* One layer. fd is borrowed and read from its current position to its end: a file, or a pipe or
 * socket that a download is being written to. Whether the compressed bytes are the right ones is
 * for whoever writes them to check. */
struct layer_input {
	int fd;
	enum layer_compression compression;
	unsigned number;     /* in its image, from 1, for sentences; 0: its place in inputs */
	const char *diff_id; /* "sha256:" and 64 hex digits; NULL where nobody knows it */
};

/* Zero takes the default. */
struct layer_limits {
	uint64_t max_tar_bytes;   /* of all inputs, uncompressed: 64 GiB */
	uint64_t max_image_bytes; /* 128 GiB */
	uint64_t max_entries;     /* tar headers: 4 million */
	uint64_t max_memory_mib;  /* address space of the child that reads the tar: 2048 */
};

struct layer_request {
	const struct layer_input *inputs; /* bottom first */
	size_t input_count;               /* 1 to 512 */
	bool bottom;                      /* nothing lies below this image: whiteouts are dropped */
	int image_fd; /* borrowed; a regular file open for writing, emptied first */
	struct layer_limits limits;
	/* Called in the caller's thread, now and then; a negative answer cancels with it. May be
	 * NULL. */
	int (*progress)(void *context, size_t input, uint64_t tar_bytes);
	void *context;
};

struct layer_result {
	uint64_t image_bytes; /* a multiple of 4096 */
	uint64_t inodes;
	uint64_t tar_bytes;
	char diff_id[72]; /* "sha256:…" of the last input */
};

/*
 * Blocks until the image is complete in image_fd (not yet synced). On failure the file's content
 * is undefined and the caller removes it. May be called from several threads at once.
 *
 * -EBADMSG    damaged or truncated layer, or not the content of its diff_id
 * -EINVAL     not a tar, or a tar this program refuses (`..`, a hard link out of the layer, …)
 * -E2BIG      a limit was reached
 * -ENOSPC     the disk is full
 * -ECANCELED  a child died, which names the signal; or what progress() answered; or another errno
 */
int layer_convert(const struct layer_request *request, struct layer_result *result,
		  struct error *err);

/* What overlayfs cannot be told about an image, so that whoever puts layers over each other must
 * know it. */
struct layer_marks {
	bool is_opaque;  /* it hides all layers below it */
	bool is_implied; /* it has folders that only layers below it describe: see layers.h */
};
/* Of a whole image; -EINVAL for what is none. */
int layer_marks(int image_fd, struct layer_marks *out);

/* The children. Returns an exit status. */
int layer_main(int argc, char **argv);

#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads a tar stream: ustar, PAX, GNU (long names, large numbers, all four sparse formats). Knows
 * nothing of layers. Sizes and counts from the stream are judged before they are used. Everything
 * an entry points to is owned by the reader and valid until the next call of tar_next.
 */

/* Gives the next piece of the stream: 1 and a piece that is not empty, 0 at the end, or -errno. A
 * piece is valid until the next call. */
struct tar_source {
	int (*next)(void *context, const uint8_t **data, size_t *size, struct error *err);
	void *context;
};

enum { TAR_BLOCK = 512, TAR_MAX_XATTRS = 1024 };

enum tar_type {
	TAR_FILE,
	TAR_HARD_LINK,
	TAR_SYMLINK,
	TAR_CHAR_DEVICE,
	TAR_BLOCK_DEVICE,
	TAR_FOLDER,
	TAR_FIFO,
};

struct tar_xattr {
	const char *name; /* not terminated */
	const uint8_t *value;
	size_t name_size, value_size;
};

struct tar_entry {
	enum tar_type type;
	const char *path; /* as it is in the tar; not empty */
	const char *link; /* target of a hard or symbolic link */
	uint64_t size;    /* of the file, holes included */
	uint32_t mode;    /* permission bits only, 07777 */
	uint32_t uid, gid;
	uint32_t major, minor;
	int64_t mtime;
	uint32_t mtime_ns;
	const struct tar_xattr *xattrs;
	size_t xattr_count;
};

struct tar;

int tar_open(const struct tar_source *source, struct tar **out);
void tar_close(struct tar *tar); /* accepts NULL */

/* 1 and an entry, 0 at the end of the archive (the source may have more to give), -EBADMSG when the
 * stream ends too early, -EINVAL when it is not a tar or one this reader refuses. */
int tar_next(struct tar *tar, struct tar_entry *entry, struct error *err);

/* The next piece of the entry's content: 1, 0 at its end, or -errno. Offsets rise; what lies
 * between pieces is a hole. */
int tar_data(struct tar *tar, uint64_t *offset, const uint8_t **data, size_t *size,
	     struct error *err);

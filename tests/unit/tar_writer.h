#pragma once
#include "runtime/layer/tar.h"

/* Makes tars in memory for tests. Ends the test when memory does. */
struct tarball {
	char *data;
	size_t size;
};

struct tar_member { /* zero is a usual value for all but path */
	char type;  /* '0' */
	const char *path, *link;
	const void *content;
	size_t size;
	unsigned mode, uid, gid, major, minor; /* mode 0 is 0644 */
	long mtime;
};

void tarball_add(struct tarball *tar, struct tar_member member);
/* One record of an extended header for the next member; value may have any bytes. */
void tarball_pax(struct tarball *tar, const char *key, const void *value, size_t value_size);
void tarball_bytes(struct tarball *tar, const void *data, size_t size); /* as they are */
void tarball_end(struct tarball *tar);
void tarball_finish(struct tarball *tar);

#define FILE_OF(p, text)                                                                           \
	((struct tar_member){ .path = (p), .content = (text), .size = strlen(text) })
#define FOLDER(p)        ((struct tar_member){ .type = '5', .path = (p), .mode = 0755 })
#define HARD_LINK(p, to) ((struct tar_member){ .type = '1', .path = (p), .link = (to) })
#define SYMLINK(p, to)   ((struct tar_member){ .type = '2', .path = (p), .link = (to) })

/* Gives `count` tarballs one after the other, in pieces of `step` bytes (0: whole). */
struct tarball_source {
	const struct tarball *tars;
	size_t count, step, next, at;
};
int tarball_next(void *context, const uint8_t **data, size_t *size, struct error *err);

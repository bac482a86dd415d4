#pragma once
#include "runtime/erofs/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads an EROFS image, for tests: written from the format, not from the writer. Everything is
 * checked on the way; a broken rule ends the test with its name. */
struct view {
	uint8_t *data;
	size_t size;
};

struct view_inode {
	uint64_t nid;
	struct erofs_disk_inode disk;
};

void view_load(struct view *image, int fd);
void view_finish(struct view *image);

/* False if there is no such file. Components are separated by one slash; "" is the root. */
bool view_find(const struct view *image, const char *path, struct view_inode *out);
void view_read(const struct view *image, const struct view_inode *inode, uint64_t offset, void *to,
	       size_t size);
size_t view_entry_count(const struct view *image, const struct view_inode *folder);
/* Of the prefix's number and the rest of the name; NULL if there is none. */
const void *view_xattr(const struct view *image, const struct view_inode *inode, uint8_t prefix,
		       const char *name, size_t *size);
/* Walks everything: names sorted and unique, numbers valid, links counted. */
void view_check(const struct view *image);

#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* A file or block device of the host that is to be a disk; raw, whatever is in it. */
struct disk_file {
	int fd; /* holds a lock on the file: shared when read_only, else exclusive */
	bool read_only, is_direct, is_device;
	uint64_t bytes;
};

/* Opens what may be a disk; its flags are set in *file. -EBUSY: another katavm, or on a block
 * device anybody, uses it. */
int disk_file_open(const char *path, struct disk_file *file, struct error *err);

/* Also unlocks it at once: others may have duplicates of the descriptor for a while, such as the
 * kernel in a ring's table of files. */
void disk_file_close(struct disk_file *file);

/* A regular file becomes `bytes` long, no less than it was. */
int disk_file_grow(const struct disk_file *file, uint64_t bytes, struct error *err);

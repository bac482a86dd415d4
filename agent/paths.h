#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Paths inside a container's root file system, which a stranger filled. `root` is a descriptor of
 * that root; nothing here leaves it whatever links the path goes through. Paths are absolute. */

enum paths_kind { PATHS_FOLDER, PATHS_FILE };

/* An O_PATH descriptor of path, made if missing, parents too. */
int paths_make(int root, const char *path, enum paths_kind kind, struct error *err);

/* A descriptor of the folder that holds path, made if missing; *name is path's last part. */
int paths_make_parent(int root, const char *path, const char **name, struct error *err);

/* All of a file, terminated by a NUL that is not counted; -EFBIG beyond limit. *out: free. */
int paths_read(int root, const char *path, size_t limit, char **out, size_t *size);

/* Never onto a mount, whose files may be the host's: -EXDEV. */
int paths_write(int root, const char *path, const void *content, size_t size, mode_t mode,
		bool append, struct error *err);

/* One write(2) to an existing file below dir, for /proc, /sys and cgroup files. */
int paths_set(int dir, const char *path, const char *value);

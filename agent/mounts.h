#pragma once
#include "agent/message.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mounts of an OCI configuration, made inside a container's root before it becomes /. */

enum { MOUNTS_MAX_DATA = 32 };

/* A mount's option list, sorted by what is done with each. */
struct mount_options {
	uint64_t set, clear;                     /* of this mount */
	uint64_t recursive_set, recursive_clear; /* rro and its like: of all mounts below too */
	uint64_t propagation;
	bool propagation_recursive;
	bool bind, recursive_bind, remount;
	bool copy_up; /* tmpfs starts with what the image has there */
	size_t data_count;
	const char
	    *data[MOUNTS_MAX_DATA]; /* the file system's own options, "key=value" or "word" */
};

int mounts_parse(char *const *options, size_t count, struct mount_options *out, struct error *err);

/* root: descriptor of the container's root. */
int mounts_make(int root, const message_mount *mount, struct error *err);

/* Nothing of path can be seen, or changed. A path that does not exist is fine. null_device: a
 * descriptor of a /dev/null. */
int mounts_mask(int root, const char *path, int null_device, struct error *err);
int mounts_make_readonly(int root, const char *path, struct error *err);

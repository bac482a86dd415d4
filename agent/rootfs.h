#pragma once
#include "agent/message.h"
#include "base/error.h"

/* A container's root file system: its layers under a writable layer. To be called in the
 * container's own mount namespace. */

/* Assembles it below the folder at path `place`, which is this container's alone; id names its part
 * of the writable disk. Gives a descriptor of the root, which is attached and writable. */
int rootfs_make(const message_rootfs *rootfs, const char *id, const char *place, struct error *err);

/* The root becomes /; its propagation and read-only flag are set. */
int rootfs_enter(int root, const message_container *container, struct error *err);

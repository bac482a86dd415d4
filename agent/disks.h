#pragma once
#include "base/error.h"
#include <stdbool.h>

/* The sandbox's disks, found by the serial that the VMM gave them. Both give a detached mount. */
int disks_mount_layer(const char *serial, struct error *err);

enum { DISKS_NAME_SIZE = 32 };

struct disks_found {
	char name[DISKS_NAME_SIZE]; /* the kernel's: vdb */
	unsigned major, minor;
};

/* -ENODEV: there is none with this serial. */
int disks_find(const char *serial, struct disks_found *out);

/* Whether somebody has it mounted, or for himself in another way. Also forgets the node by which
 * the agent itself knows it. */
bool disks_is_used(const struct disks_found *disk);

/* The writable disk, whose file system is grown to the disk's size. kept: its content outlives this
 * VM, so it is written with the usual care for power cuts. */
int disks_mount_scratch(const char *serial, bool kept, struct error *err);

#pragma once
#include "base/error.h"
#include <stdbool.h>

/* The sandbox's disks, found by the serial that the VMM gave them. Both give a detached mount. */
int disks_mount_layer(const char *serial, struct error *err);

/* The writable disk, whose file system is grown to the disk's size. kept: its content outlives this
 * VM, so it is written with the usual care for power cuts. */
int disks_mount_scratch(const char *serial, bool kept, struct error *err);

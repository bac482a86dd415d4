#pragma once
#include "base/error.h"
#include <limits.h>

/* Where things are. Nothing here is created or opened. */

/* A file that came with katavm: vmlinux, initramfs.cpio, scratch.ext4. $KATAVM_LIB_DIR, else
 * ../lib/katavm from the program's own folder. */
int paths_lib(const char *name, char out[PATH_MAX], struct error *err);

/* The folder for images: `given` (--root) or its default for this user. */
int paths_root(const char *given, char out[PATH_MAX], struct error *err);

/* The folder for what lives as long as a boot of the host: names of running containers, boot logs.
 */
int paths_state(char out[PATH_MAX], struct error *err);

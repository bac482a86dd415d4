#pragma once
#include "runtime/layer/layer.h"

/* What convert.c starts and child.c is. The words after the role's name:
 *   inflate COMPRESSION MEMORY_MIB               reads CHILD_FILE, sends frames
 *   pack LAYERS BOTTOM ENTRIES IMAGE_BYTES MEMORY_MIB UUID
 *                                                receives frames, writes CHILD_FILE, sends its
 * result Numbers are decimal, the UUID is 32 hex digits. */
enum { CHILD_SOCKET = 3, CHILD_FILE = 4 };

enum { CHILD_INFLATE_MIB = 512 }; /* zstd's largest window is 128 MiB */

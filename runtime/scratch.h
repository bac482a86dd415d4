#pragma once
#include "base/error.h"
#include <stdint.h>

/* A fresh file of `size` bytes with an empty ext4 on it, for a container's writable layer: sparse,
 * without a name, gone with its last descriptor. Made in folder (the store's), which is created
 * when missing. */
int scratch_open(const char *folder, uint64_t size, int *out_fd, struct error *err);

/* A packed template: this header, then the blocks of its runs. Host byte order: it is made and read
 * on the same kind of machine. */
#define SCRATCH_MAGIC UINT64_C(0x314d4554464c544b)
enum { SCRATCH_BLOCK = 4096, SCRATCH_MAX_RUNS = 60 };

struct scratch_run {
	uint64_t first_block, block_count;
};

struct scratch_header {
	uint64_t magic;
	uint64_t disk_size;
	uint32_t run_count, reserved;
	struct scratch_run runs[SCRATCH_MAX_RUNS];
};

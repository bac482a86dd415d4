#pragma once
#include "base/error.h"
#include "vmm/memory.h"

/* The two files a guest starts from, put into its memory. */
struct kernel_place {
	uint64_t entry, end;         /* guest addresses: first instruction, first byte behind it */
	struct arch_range initramfs; /* at the end of the first range of RAM; size 0: none */
};
/* initramfs_fd may be -1. */
int kernel_load(struct memory *memory, int kernel_fd, int initramfs_fd, struct kernel_place *out,
		struct error *err);

/* The kernel's messages, read from its memory while no vCPU runs or while they do: whatever is
 * found there is guest data, so it is bounded and escaped: the newest messages, 2 MiB at the most.
 * -ENODATA when there is no log yet or the memory makes no sense. Returns 0 after writing what
 * there is to output_fd; a write that fails is the last one and the error. */
int kernel_dump_log(const struct memory *memory, int kernel_fd, int output_fd, struct error *err);

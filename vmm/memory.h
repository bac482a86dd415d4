#pragma once
#include "arch/arch.h"
#include "base/error.h"
#include "base/gmem.h"

/*
 * Guest RAM: one mapping, in which the ranges of the guest's address space lie one behind the
 * other. It is private to this process, which is what a page costs the host least, unless it has to
 * be a file: a sealed memfd. Set up by one thread before the first vCPU runs; constant after that.
 */
enum { MEMORY_MAX_FILES = 8, MEMORY_STEP = 128 << 20 };

struct memory {
	int fd;        /* the memfd, or negative: RAM is private */
	int usage_fd;  /* this process's /proc/self/statm, or negative */
	uint8_t *host; /* the whole mapping */
	uint64_t size;
	uint64_t usage_before_kib; /* this process's own memory */
	bool huge_pages;
	size_t range_count;
	struct arch_range ranges[ARCH_MAX_RAM_RANGES];
	struct gmem gmem;
	/* What may come while the VM runs: a mapping of its own, whose first more_size bytes are
	 * guest memory. Changed on the device thread. */
	uint8_t *more; /* NULL until the first of it has come */
	int more_fd;   /* its memfd, of more_limit bytes, where RAM is a file; or negative */
	uint64_t more_start, more_size, more_limit;
	unsigned slot_count; /* of KVM */
	/* Where files are mapped, as offsets into the mapping, ascending; near ones are one. */
	size_t file_count;
	struct arch_range files[MEMORY_MAX_FILES];
};

enum memory_kind {
	MEMORY_PRIVATE,
	MEMORY_SHARED, /* a memfd that another process can be given */
	MEMORY_HUGE,   /* a memfd of 2 MiB pages from the host's reserve */
};

int memory_init(struct memory *memory, uint64_t size, enum memory_kind kind, struct error *err);
/* Accepts a zeroed one. */
void memory_finish(struct memory *memory);

/* One slot for each range; before any in-kernel device exists. */
int memory_register(struct memory *memory, int vm_fd, struct error *err);

/* Before the first vCPU runs: beside its RAM the VM may have `limit` bytes more one day, rounded up
 * to MEMORY_STEP. Costs nothing until then. RAM of huge pages cannot grow: the limit stays 0. */
void memory_allow_more(struct memory *memory, uint64_t limit);
/* The first `size` bytes of these, a multiple of MEMORY_STEP, are guest memory now. On the device
 * thread; waits for a grace period of the host. */
int memory_grow(struct memory *memory, int vm_fd, uint64_t size, struct error *err);

/* Whole pages of `file_fd` in place of guest memory: the guest's writes stay private to this
 * process, so in RAM that is a file only for pages that no other process must see changed.
 * -EOPNOTSUPP with huge pages. */
int memory_map_file(struct memory *memory, gpa_t at, uint64_t size, int file_fd, uint64_t offset);

/* Makes pages this process's own before the guest writes to them. Only ever a gain of time. */
void memory_own(struct memory *memory, gpa_t at, uint64_t size);

/* The guest has no use for these bytes, a part of its memory: whole pages in it go back to the
 * host and read as zeroes from then on. Never those of a mapped file, nor huge pages, whose reserve
 * another process could take. Any thread. */
void memory_release(const struct memory *memory, const struct iovec *range);

/* To guest memory, in the way that costs the host least. */
int memory_copy(struct memory *memory, gpa_t to, const void *from, size_t size);

/* Guest memory the host has allocated until now: mapped files count where the guest wrote. */
uint64_t memory_allocated_kib(const struct memory *memory);

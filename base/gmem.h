#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * Guest memory. No function here returns a host pointer: guest bytes are copied
 * in and out, or handed to the kernel as an iovec. A guest address is a struct,
 * so it cannot be dereferenced, and mixing it up with a length does not compile.
 */
typedef struct {
	uint64_t value;
} gpa_t;

enum { GMEM_MAX_REGIONS = 8 };

struct gmem_region { /* private to gmem.c */
	uint64_t start, size;
	uint8_t *host;
};

struct gmem {
	size_t region_count;
	struct gmem_region regions[GMEM_MAX_REGIONS];
};

/* A range checked once and then indexed often: a ring, a descriptor table. */
struct gmem_window { /* private to gmem.c */
	uint8_t *host;
	size_t size;
};

/* Regions are added before the first vCPU runs; once it does, only on the device thread, where all
 * translation happens, and nothing that is there goes away. */
int gmem_add(struct gmem *mem, gpa_t start, void *host, size_t size);
/* The region that begins at `start` has `size` bytes from now on, no less than before: its host
 * memory goes on. */
int gmem_grow(struct gmem *mem, gpa_t start, size_t size);

int gmem_read(const struct gmem *mem, gpa_t from, void *to, size_t size);
int gmem_write(const struct gmem *mem, gpa_t to, const void *from, size_t size);

/* The size is always that of the host object, never one the guest chose. */
#define gmem_get(mem, from, object) gmem_read((mem), (from), (object), sizeof *(object))
#define gmem_put(mem, to, object)   gmem_write((mem), (to), (object), sizeof *(object))

/* For readv(2), writev(2) and io_uring only. */
int gmem_iovec(const struct gmem *mem, gpa_t from, size_t size, struct iovec *out);

int gmem_window_open(const struct gmem *mem, gpa_t from, size_t size, struct gmem_window *out);
int gmem_window_read(const struct gmem_window *win, size_t offset, void *to, size_t size);
int gmem_window_write(const struct gmem_window *win, size_t offset, const void *from, size_t size);

/* One atomic access; the guest may be looking. Out of range reads as 0. */
uint16_t gmem_load_acquire16(const struct gmem_window *win, size_t offset);
void gmem_store_release16(const struct gmem_window *win, size_t offset, uint16_t value);

/* Between a store the guest reads and a load the guest writes (the two event index races). */
static inline void gmem_full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

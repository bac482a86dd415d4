#include "vmm/memory.h"
#include "base/check.h"
#include "base/own.h"
#include "base/sys.h"
#include "vmm/kvm.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LARGE_PAGE 0x200000ULL
enum { SMALL_PAGE = 0x1000, COPY_PIECE = 1024, NEAR = 16 << 20 };

static int create_file(uint64_t size, enum memory_kind kind, struct error *err)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	own_fd fd = -EBADF;
	int r;

	if (kind == MEMORY_HUGE)
		flags |= MFD_HUGETLB | (21U << MFD_HUGE_SHIFT);
	fd = (int)SYS(memfd_create, "guest-ram", flags);
	if (fd < 0)
		return error_set(err, fd, "guest memory: create: %s", sys_text(fd));
	r = (int)SYS(ftruncate, fd, (off_t)size);
	if (r < 0)
		return error_set(err, r, "guest memory: make %llu MiB: %s",
				 (unsigned long long)size >> 20, sys_text(r));
	r = (int)SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (r < 0)
		return error_set(err, r, "guest memory: seal: %s", sys_text(r));
	return take_fd(&fd);
}

/* At a multiple of 2 MiB, so that a large page of the host can be one of the guest. */
static int map_aligned(uint64_t size, int fd, uint8_t **out)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
	void *area, *at;
	uint64_t before;
	int r = sys_mmap(NULL, size + LARGE_PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, &area);

	if (r < 0)
		return r;
	before = -(uint64_t)(uintptr_t)area % LARGE_PAGE;
	r = sys_mmap((uint8_t *)area + before, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
		     0, &at);
	if (r < 0) {
		(void)munmap(area, size + LARGE_PAGE);
		return r;
	}
	if (before > 0)
		(void)munmap(area, before);
	(void)munmap((uint8_t *)at + size, LARGE_PAGE - before);
	/* A guest that starts touches little of much. Large pages pay for memory that is used for
	 * long, and of a file they are there only where shmem_enabled is "advise". */
	(void)madvise(at, size, fd < 0 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	(void)madvise(at, size, MADV_DONTDUMP); /* also how trace.c knows it */
	*out = at;
	return 0;
}

/* What this process has of memory of its own, in KiB: all that is not a file's. */
static uint64_t own_memory_kib(int usage_fd)
{
	unsigned long long resident, shared;
	char text[128] = "", *at = text;

	if (SYS(pread, usage_fd, text, sizeof text - 1, 0) <= 0)
		return 0;
	(void)strtoull(at, &at, 10); /* the size, then the two of interest */
	resident = strtoull(at, &at, 10);
	shared = strtoull(at, &at, 10);
	if (resident < shared)
		return 0;
	return (resident - shared) * (SMALL_PAGE / 1024);
}

static int map(struct memory *memory, struct error *err)
{
	uint64_t offset = 0;
	int r = map_aligned(memory->size, memory->fd, &memory->host);

	if (r < 0 && memory->huge_pages)
		return error_set(err, r,
				 "guest memory: the host's reserve of 2 MiB pages has not %llu MiB "
				 "left (vm.nr_hugepages): %s",
				 (unsigned long long)memory->size >> 20, sys_text(r));
	if (r < 0)
		return error_set(err, r, "guest memory: map %llu MiB: %s",
				 (unsigned long long)memory->size >> 20, sys_text(r));
	for (size_t i = 0; r == 0 && i < memory->range_count; i++) {
		r = gmem_add(&memory->gmem, (gpa_t){ memory->ranges[i].start },
			     memory->host + offset, memory->ranges[i].size);
		offset += memory->ranges[i].size;
	}
	return r;
}

int memory_init(struct memory *memory, uint64_t size, enum memory_kind kind, struct error *err)
{
	struct memory made = { .fd = -EBADF,
			       .usage_fd = -EBADF,
			       .more_fd = -EBADF,
			       .size = size,
			       .huge_pages = kind == MEMORY_HUGE };
	int r;

	if (kind == MEMORY_HUGE && size % LARGE_PAGE != 0)
		return error_set(err, -EINVAL,
				 "guest memory: with huge pages the size is a multiple of 2 MiB");
	made.range_count = arch_ram_layout(size, made.ranges);
	if (kind != MEMORY_PRIVATE) {
		made.fd = create_file(size, kind, err);
		if (made.fd < 0)
			return made.fd;
	}
	r = map(&made, err);
	if (r < 0) {
		memory_finish(&made);
		return r;
	}
	made.usage_fd = sys_open(AT_FDCWD, "/proc/self/statm", O_RDONLY, 0);
	made.usage_before_kib = own_memory_kib(made.usage_fd);
	*memory = made;
	return 0;
}

void memory_finish(struct memory *memory)
{
	if (memory->host) {
		(void)munmap(memory->host, memory->size);
		memory->host = NULL;
	}
	if (memory->more) {
		(void)munmap(memory->more, memory->more_limit);
		memory->more = NULL;
	}
	if (memory->size > 0) {
		close_fd(&memory->fd);
		close_fd(&memory->usage_fd);
		close_fd(&memory->more_fd);
	}
}

int memory_register(struct memory *memory, int vm_fd, struct error *err)
{
	uint8_t *host = memory->host;

	for (size_t i = 0; i < memory->range_count; i++) {
		int r =
		    kvm_add_memory(vm_fd, memory->slot_count, (gpa_t){ memory->ranges[i].start },
				   host, memory->ranges[i].size, err);

		if (r < 0)
			return r;
		memory->slot_count++;
		host += memory->ranges[i].size;
	}
	return 0;
}

void memory_allow_more(struct memory *memory, uint64_t limit)
{
	if (memory->huge_pages || limit == 0)
		return;
	memory->more_start = arch_more_ram_start(memory->size);
	memory->more_start = (memory->more_start + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
	memory->more_limit = (limit + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
}

/* All of it at once, because its addresses have to go on, but out of anybody's reach. */
static int map_more(struct memory *memory, struct error *err)
{
	int flags = memory->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, r;
	own_fd fd = -EBADF;
	void *area;

	if (memory->more)
		return 0;
	if (memory->fd >= 0) {
		fd = create_file(memory->more_limit, MEMORY_SHARED, err);
		if (fd < 0)
			return fd;
	}
	r = sys_mmap(NULL, memory->more_limit, PROT_NONE, flags | MAP_NORESERVE, fd, 0, &area);
	if (r < 0)
		return error_set(err, r, "guest memory: reserve %llu MiB of addresses: %s",
				 (unsigned long long)memory->more_limit >> 20, sys_text(r));
	(void)madvise(area, memory->more_limit, MADV_NOHUGEPAGE);
	(void)madvise(area, memory->more_limit, MADV_DONTDUMP);
	memory->more = area;
	memory->more_fd = take_fd(&fd);
	return 0;
}

int memory_grow(struct memory *memory, int vm_fd, uint64_t size, struct error *err)
{
	gpa_t start = { memory->more_start };
	uint64_t before = memory->more_size;
	int r;

	if (size <= before)
		return 0;
	CHECK(size % MEMORY_STEP == 0 && size <= memory->more_limit);
	r = map_more(memory, err);
	if (r < 0)
		return r;
	r = (int)SYS(mprotect, memory->more + before, size - before, PROT_READ | PROT_WRITE);
	if (r < 0)
		return error_set(err, r, "guest memory: %llu MiB more: %s",
				 (unsigned long long)(size - before) >> 20, sys_text(r));
	/* a slot cannot grow, so each growth is another one */
	r = kvm_add_memory(vm_fd, memory->slot_count, (gpa_t){ start.value + before },
			   memory->more + before, size - before, err);
	if (r < 0)
		return r;
	memory->slot_count++;
	r = before == 0 ? gmem_add(&memory->gmem, start, memory->more, size)
			: gmem_grow(&memory->gmem, start, size);
	if (r < 0)
		return error_set(err, r, "guest memory: %s", sys_text(r));
	memory->more_size = size;
	return 0;
}

/* Where in the mapping a range of guest memory lies. */
static int offset_of(const struct memory *memory, gpa_t at, uint64_t size, uint64_t *out)
{
	struct iovec range;
	int r = gmem_iovec(&memory->gmem, at, size, &range);

	if (r < 0)
		return r;
	*out = (uint64_t)((uint8_t *)range.iov_base - memory->host);
	return 0;
}

/*
 * Measured in the emulated host, in thousands of instructions for a page that was never
 * touched: 13.4 this way, 17.2 by sendfile into the memfd, 17.4 by read, 25.4 by pwrite. It leaves
 * the page mapped in this process, so the guest's own first touch of it is cheap too. Pieces of 1
 * KiB are below the size from which memcpy uses `rep movsb`, whose every byte is an instruction
 * there; on hardware they are as fast.
 */
int memory_copy(struct memory *memory, gpa_t to, const void *from, size_t size)
{
	for (size_t done = 0; done < size; done += COPY_PIECE) {
		size_t piece = size - done < COPY_PIECE ? size - done : COPY_PIECE;
		int r = gmem_write(&memory->gmem, (gpa_t){ to.value + done },
				   (const uint8_t *)from + done, piece);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Mapped from the bottom up; what comes when the table is full joins the last entry. */
static void note_file(struct memory *memory, uint64_t start, uint64_t size)
{
	struct arch_range *last =
	    memory->file_count ? &memory->files[memory->file_count - 1] : NULL;
	bool near = last && start >= last->start && start - last->start <= last->size + NEAR;

	if (near || memory->file_count == MEMORY_MAX_FILES) {
		uint64_t from = start < last->start ? start : last->start;
		uint64_t end = last->start + last->size;

		*last =
		    (struct arch_range){ .start = from,
					 .size = (start + size > end ? start + size : end) - from };
		return;
	}
	memory->files[memory->file_count++] = (struct arch_range){ .start = start, .size = size };
}

int memory_map_file(struct memory *memory, gpa_t at, uint64_t size, int file_fd, uint64_t offset)
{
	uint64_t position;
	void *mapped;
	int r = offset_of(memory, at, size, &position);

	if (r < 0)
		return r;
	if (memory->huge_pages)
		return -EOPNOTSUPP;
	if (at.value % SMALL_PAGE || size % SMALL_PAGE || offset % SMALL_PAGE)
		return -EINVAL;
	r = sys_mmap(memory->host + position, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file_fd, offset, &mapped);
	if (r == 0)
		note_file(memory, position, size);
	return r;
}

/* Bytes [start, end) of a mapping of fd, or of private memory where that is negative. */
static void release_piece(uint8_t *host, int fd, uint64_t start, uint64_t end)
{
	if (start >= end)
		return;
	/* A failure leaves the pages where they are, which is no less right. */
	if (fd < 0)
		(void)SYS(madvise, host + start, end - start, MADV_DONTNEED);
	else
		(void)SYS(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
			  (off_t)(end - start));
}

static bool is_more(const struct memory *memory, const uint8_t *at)
{
	return memory->more && at >= memory->more && at < memory->more + memory->more_size;
}

void memory_release(const struct memory *memory, const struct iovec *range)
{
	bool more = is_more(memory, range->iov_base);
	uint8_t *host = more ? memory->more : memory->host;
	uint64_t offset = (uint64_t)((uint8_t *)range->iov_base - host);
	uint64_t start = (offset + SMALL_PAGE - 1) / SMALL_PAGE * SMALL_PAGE;
	uint64_t end = (offset + range->iov_len) / SMALL_PAGE * SMALL_PAGE;

	if (memory->huge_pages)
		return;
	if (more) {
		release_piece(host, memory->more_fd, start, end);
		return;
	}
	CHECK(range->iov_len <= memory->size && offset <= memory->size - range->iov_len);
	for (size_t i = 0; i < memory->file_count; i++) {
		const struct arch_range *file = &memory->files[i];

		if (file->start >= end || file->start + file->size <= start)
			continue;
		release_piece(host, memory->fd, start, file->start);
		start = file->start + file->size;
	}
	release_piece(host, memory->fd, start, end);
}

void memory_own(struct memory *memory, gpa_t at, uint64_t size)
{
	struct iovec range;

	if (gmem_iovec(&memory->gmem, at, size, &range) == 0)
		(void)madvise(range.iov_base, range.iov_len, MADV_POPULATE_WRITE);
}

uint64_t memory_allocated_kib(const struct memory *memory)
{
	uint64_t own = own_memory_kib(memory->usage_fd), before = memory->usage_before_kib;
	const int files[] = { memory->fd, memory->more_fd };
	uint64_t kib = own > before ? own - before : 0;
	struct stat status;

	for (size_t i = 0; i < 2; i++)
		if (files[i] >= 0 && SYS(fstat, files[i], &status) == 0)
			kib += (uint64_t)status.st_blocks / 2;
	return kib;
}

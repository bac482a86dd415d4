#include "vmm/kernel.h"
#include "base/own.h"
#include "base/sys.h"
#include "vmm/elf.h"

#include <sys/stat.h>

enum { PAGE = 0x1000 };

/* A file to load from, mapped. */
struct source {
	int fd;
	struct own_mapping mapping;
};

static int map_source(int fd, const char *what, struct source *out, struct error *err)
{
	struct stat status;
	int r = (int)SYS(fstat, fd, &status);

	if (r < 0)
		return error_set(err, r, "%s: %s", what, sys_text(r));
	if (!S_ISREG(status.st_mode))
		return error_set(err, -EINVAL, "%s: not a regular file", what);
	if (status.st_size == 0)
		return error_set(err, -ENOEXEC, "%s: the file is empty", what);
	out->fd = fd;
	r = sys_mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_NORESERVE, fd, 0, &out->mapping.at);
	if (r < 0)
		return error_set(err, r, "%s: map the file: %s", what, sys_text(r));
	out->mapping.size = (size_t)status.st_size;
	return 0;
}

static void unmap_source(struct source *source)
{
	own_mmap_release(&source->mapping);
}

#define own_source __attribute__((cleanup(unmap_source))) struct source

static bool fits(const struct memory *memory, uint64_t address, uint64_t size)
{
	struct iovec range;

	return address >= arch_kernel_lowest &&
	       gmem_iovec(&memory->gmem, (gpa_t){ address }, size, &range) == 0;
}

/* A segment's file bytes into RAM of which no other process has a view: whole pages are mapped. */
static int map_segment(struct memory *memory, const struct source *file,
		       const struct elf_segment *segment)
{
	uint64_t offset = segment->offset, end = segment->offset + segment->file_size;
	uint64_t delta = segment->address - segment->offset;
	uint64_t first = (offset + PAGE - 1) / PAGE * PAGE, last = end / PAGE * PAGE;
	const uint8_t *bytes = file->mapping.at;
	int r;

	if (delta % PAGE != 0 || first >= last)
		return memory_copy(memory, (gpa_t){ offset + delta }, bytes + offset, end - offset);
	r = memory_copy(memory, (gpa_t){ offset + delta }, bytes + offset, first - offset);
	if (r == 0)
		r = memory_map_file(memory, (gpa_t){ first + delta }, last - first, file->fd,
				    first);
	if (r == 0)
		r = memory_copy(memory, (gpa_t){ last + delta }, bytes + last, end - last);
	return r;
}

/* A segment's file bytes: the constants in it are mapped, what lies between them is copied. */
static int load_segment(struct memory *memory, const struct source *file,
			const struct elf_image *image, const struct elf_segment *segment)
{
	uint64_t offset = segment->offset, end = segment->offset + segment->file_size;
	uint64_t delta = segment->address - segment->offset;
	const uint8_t *bytes = file->mapping.at;
	int r = 0;

	if (memory->fd < 0)
		return map_segment(memory, file, segment);
	for (size_t i = 0; r == 0 && i < image->constant_count && !memory->huge_pages; i++) {
		const struct elf_constant *constant = &image->constants[i];

		if (constant->offset < offset || constant->offset >= end)
			continue;
		r = memory_copy(memory, (gpa_t){ offset + delta }, bytes + offset,
				constant->offset - offset);
		if (r == 0)
			r = memory_map_file(memory, (gpa_t){ constant->address }, constant->size,
					    file->fd, constant->offset);
		offset = constant->offset + constant->size;
	}
	if (r == 0)
		r = memory_copy(memory, (gpa_t){ offset + delta }, bytes + offset, end - offset);
	return r;
}

static int load_image(struct memory *memory, int kernel_fd, struct kernel_place *place,
		      struct error *err)
{
	own_source file = { 0 };
	struct elf_image image;
	int r = map_source(kernel_fd, "kernel", &file, err);

	if (r == 0)
		r = elf_parse(file.mapping.at, file.mapping.size, arch_elf_machine, &image, err);
	for (size_t i = 0; r == 0 && i < image.segment_count; i++) {
		const struct elf_segment *segment = &image.segments[i];

		if (!fits(memory, segment->address, segment->memory_size))
			return error_set(err, -ENOEXEC,
					 "kernel: segment at 0x%llx, %llu KiB, does not fit into "
					 "%llu MiB of memory",
					 (unsigned long long)segment->address,
					 (unsigned long long)segment->memory_size >> 10,
					 (unsigned long long)memory->size >> 20);
		r = load_segment(memory, &file, &image, segment);
		if (r < 0)
			return error_set(err, r, "kernel: load: %s", sys_text(r));
		place->end = segment->address + segment->memory_size;
	}
	/* The guest would take three faults for a page of the file: to read it, to write it, and
	 * again because writing replaced it. Another page costs it what it costs here, but here it
	 * is while the host makes the VM, which is waiting for the most part. */
	for (size_t i = 0; r == 0 && i < image.written_count; i++)
		memory_own(memory, (gpa_t){ image.written[i].address }, image.written[i].size);
	if (r == 0)
		place->entry = image.entry;
	return r;
}

/* Mapped, not copied, where nobody else sees RAM. The guest unpacks it and then gives its pages to
 * its allocator: in a memfd they must be the memfd's, for any of them may become a buffer that the
 * shares' server writes to. */
static int load_initramfs(struct memory *memory, int fd, struct kernel_place *place,
			  struct error *err)
{
	uint64_t end = memory->ranges[0].start + memory->ranges[0].size, size, start, pages;
	own_source file = { 0 };
	int r = map_source(fd, "initramfs", &file, err);

	if (r < 0)
		return r;
	size = file.mapping.size;
	pages = (size + PAGE - 1) / PAGE * PAGE;
	start = pages < end ? end / PAGE * PAGE - pages : 0;
	if (start < place->end)
		return error_set(err, -EFBIG,
				 "initramfs: %llu KiB do not fit behind the kernel into %llu MiB "
				 "of memory",
				 (unsigned long long)size >> 10,
				 (unsigned long long)memory->size >> 20);
	r = memory->fd < 0 ? memory_map_file(memory, (gpa_t){ start }, pages, fd, 0) : -EOPNOTSUPP;
	if (r == -EOPNOTSUPP)
		r = memory_copy(memory, (gpa_t){ start }, file.mapping.at, size);
	if (r < 0)
		return error_set(err, r, "initramfs: load: %s", sys_text(r));
	place->initramfs = (struct arch_range){ .start = start, .size = size };
	return 0;
}

int kernel_load(struct memory *memory, int kernel_fd, int initramfs_fd, struct kernel_place *out,
		struct error *err)
{
	struct kernel_place place = { 0 };
	int r = load_image(memory, kernel_fd, &place, err);

	if (r == 0 && initramfs_fd >= 0)
		r = load_initramfs(memory, initramfs_fd, &place, err);
	if (r == 0)
		*out = place;
	return r;
}

/*
 * libelf reads the tables; what they say is judged here. The page rule: the kernel frees the pages
 * between its sections, and all of its init segment, to its page allocator. What is mapped from the
 * file must therefore lie in a segment the kernel never writes in ordinary running (text, without
 * write permission), and inside sections. Alignment between two sections that is smaller than a
 * page cannot be freed and belongs to them.
 */
#include "vmm/elf.h"
#include "base/own.h"
#include "base/sys.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <string.h>

enum { PAGE = 0x1000 };

static bool within(uint64_t offset, uint64_t size, uint64_t limit)
{
	return size <= limit && offset <= limit - size;
}

static int check_header(const void *file, size_t size, uint16_t machine, struct error *err)
{
	Elf64_Ehdr header;

	if (size < SELFMAG || memcmp(file, ELFMAG, SELFMAG) != 0)
		return error_set(err, -ENOEXEC,
				 "kernel: not an ELF file (an uncompressed vmlinux is needed)");
	if (size < sizeof header)
		return error_set(err, -ENOEXEC, "kernel: truncated ELF header");
	memcpy(&header, file, sizeof header);
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
		return error_set(err, -ENOEXEC, "kernel: not a 64-bit little-endian ELF file");
	if (header.e_machine != machine)
		return error_set(err, -ENOEXEC,
				 "kernel: built for another machine (ELF machine %u instead of %u)",
				 header.e_machine, machine);
	if (header.e_type != ET_EXEC)
		return error_set(err, -ENOEXEC,
				 "kernel: not an executable ELF file (a vmlinux is needed)");
	if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
	    !within(header.e_phoff, (uint64_t)header.e_phnum * sizeof(Elf64_Phdr), size))
		return error_set(err, -ENOEXEC, "kernel: truncated: no program headers");
	if (header.e_shnum > 0 &&
	    (header.e_shentsize != sizeof(Elf64_Shdr) ||
	     !within(header.e_shoff, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr), size)))
		return error_set(err, -ENOEXEC,
				 "kernel: truncated: section headers past the end of the file");
	return 0;
}

static int check_segment(const GElf_Phdr *phdr, size_t size, size_t index, struct error *err)
{
	uint64_t end;

	if (!within(phdr->p_offset, phdr->p_filesz, size))
		return error_set(err, -ENOEXEC,
				 "kernel: truncated: segment %zu goes past the end of the file",
				 index);
	if (phdr->p_filesz > phdr->p_memsz)
		return error_set(err, -ENOEXEC,
				 "kernel: segment %zu has more bytes in the file than in memory",
				 index);
	if (__builtin_add_overflow(phdr->p_paddr, phdr->p_memsz, &end))
		return error_set(err, -ENOEXEC, "kernel: segment %zu wraps around", index);
	return 0;
}

/* Keeps segments ascending; refuses overlap. */
static int insert_segment(struct elf_image *image, const struct elf_segment *segment,
			  struct error *err)
{
	size_t at = image->segment_count;

	if (at == ELF_MAX_SEGMENTS)
		return error_set(err, -ENOEXEC, "kernel: more than %d segments", ELF_MAX_SEGMENTS);
	while (at > 0 && image->segments[at - 1].address > segment->address) {
		image->segments[at] = image->segments[at - 1];
		at--;
	}
	image->segments[at] = *segment;
	image->segment_count++;
	for (size_t i = 1; i < image->segment_count; i++) {
		const struct elf_segment *below = &image->segments[i - 1];

		if (below->address + below->memory_size > image->segments[i].address)
			return error_set(err, -ENOEXEC, "kernel: segments overlap at 0x%llx",
					 (unsigned long long)image->segments[i].address);
	}
	return 0;
}

/* The next range of sections in a constant segment. Sections come in ascending order of offset in
 * what linkers write; one that does not is left to be copied. */
static void add_constant(struct elf_image *image, const GElf_Phdr *phdr, uint64_t start,
			 uint64_t end)
{
	uint64_t delta = phdr->p_paddr - phdr->p_offset;
	struct elf_constant *last = NULL;

	if (image->constant_count > 0)
		last = &image->constants[image->constant_count - 1];
	if (last && start < last->offset + last->size + PAGE && start >= last->offset) {
		if (end > last->offset + last->size && last->address - last->offset == delta)
			last->size = end - last->offset;
		return;
	}
	if ((last && start < last->offset) || image->constant_count == ELF_MAX_CONSTANT)
		return;
	image->constants[image->constant_count++] =
	    (struct elf_constant){ .offset = start, .address = start + delta, .size = end - start };
}

static void find_constants(Elf *elf, const GElf_Phdr *phdr, struct elf_image *image)
{
	Elf_Scn *section = NULL;
	GElf_Shdr shdr;

	if ((phdr->p_flags & PF_W) || (phdr->p_offset ^ phdr->p_paddr) % PAGE)
		return;
	while ((section = elf_nextscn(elf, section))) {
		if (!gelf_getshdr(section, &shdr) || !(shdr.sh_flags & SHF_ALLOC) ||
		    shdr.sh_type == SHT_NOBITS || shdr.sh_size == 0)
			continue;
		if (shdr.sh_offset < phdr->p_offset ||
		    !within(shdr.sh_offset - phdr->p_offset, shdr.sh_size, phdr->p_filesz))
			continue;
		add_constant(image, phdr, shdr.sh_offset, shdr.sh_offset + shdr.sh_size);
	}
}

/* Only pages that lie in a range as a whole. */
static void round_constants(struct elf_image *image)
{
	size_t kept = 0;

	for (size_t i = 0; i < image->constant_count; i++) {
		struct elf_constant range = image->constants[i];
		uint64_t before = -range.address % PAGE;

		if (range.size < before + PAGE)
			continue;
		image->constants[kept++] =
		    (struct elf_constant){ .offset = range.offset + before,
					   .address = range.address + before,
					   .size = (range.size - before) / PAGE * PAGE };
	}
	image->constant_count = kept;
}

static void find_written(Elf *elf, const uint8_t *file, size_t size, struct elf_image *image)
{
	Elf_Scn *section = NULL;
	size_t names = 0;
	GElf_Shdr shdr;

	if (elf_getshdrstrndx(elf, &names) != 0)
		return;
	while ((section = elf_nextscn(elf, section))) {
		const char *name;
		uint32_t pair[2];

		if (!gelf_getshdr(section, &shdr) || shdr.sh_type != SHT_PROGBITS ||
		    !within(shdr.sh_offset, shdr.sh_size, size))
			continue;
		name = elf_strptr(elf, names, shdr.sh_name);
		if (!name || strcmp(name, ".katavm.written") != 0)
			continue;
		for (uint64_t at = 0; at + sizeof pair <= shdr.sh_size; at += sizeof pair) {
			if (image->written_count == ELF_MAX_WRITTEN)
				return;
			memcpy(pair, file + shdr.sh_offset + at, sizeof pair);
			image->written[image->written_count++] =
			    (struct elf_written){ .address = (uint64_t)pair[0] * PAGE,
						  .size = (uint64_t)pair[1] * PAGE };
		}
	}
}

static int collect(Elf *elf, size_t size, struct elf_image *image, struct error *err)
{
	size_t count = 0;

	if (elf_getphdrnum(elf, &count) != 0)
		return error_set(err, -ENOEXEC, "kernel: program headers: %s", elf_errmsg(-1));
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr phdr;
		int r;

		if (!gelf_getphdr(elf, (int)i, &phdr))
			return error_set(err, -ENOEXEC, "kernel: program header %zu: %s", i,
					 elf_errmsg(-1));
		if (phdr.p_type != PT_LOAD || phdr.p_memsz == 0)
			continue;
		r = check_segment(&phdr, size, i, err);
		if (r == 0)
			r = insert_segment(image,
					   &(struct elf_segment){ .offset = phdr.p_offset,
								  .file_size = phdr.p_filesz,
								  .address = phdr.p_paddr,
								  .memory_size = phdr.p_memsz,
								  .writable = phdr.p_flags & PF_W },
					   err);
		if (r < 0)
			return r;
		find_constants(elf, &phdr, image);
	}
	if (image->segment_count == 0)
		return error_set(err, -ENOEXEC, "kernel: nothing to load in it");
	round_constants(image);
	return 0;
}

static int check_entry(const struct elf_image *image, struct error *err)
{
	for (size_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];

		if (image->entry >= segment->address &&
		    image->entry - segment->address < segment->file_size)
			return 0;
	}
	return error_set(err, -ENOEXEC, "kernel: entry point 0x%llx is in no segment",
			 (unsigned long long)image->entry);
}

static void end_elf(Elf **elf)
{
	(void)elf_end(*elf);
}

static Elf *begin(void *file, size_t size)
{
	if (elf_version(EV_CURRENT) == EV_NONE)
		return NULL;
	return elf_memory(file, size);
}

int elf_parse(void *file, size_t size, uint16_t machine, struct elf_image *out, struct error *err)
{
	__attribute__((cleanup(end_elf))) Elf *elf = NULL;
	struct elf_image image = { 0 };
	GElf_Ehdr header;
	int r = check_header(file, size, machine, err);

	if (r < 0)
		return r;
	elf = begin(file, size);
	if (!elf || !gelf_getehdr(elf, &header))
		return error_set(err, -ENOEXEC, "kernel: %s", elf_errmsg(-1));
	image.entry = header.e_entry;
	r = collect(elf, size, &image, err);
	if (r == 0)
		find_written(elf, file, size, &image);
	if (r == 0)
		r = check_entry(&image, err);
	if (r == 0)
		*out = image;
	return r;
}

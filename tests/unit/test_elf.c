#include "vmm/elf.h"
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

/* A small vmlinux: a constant segment with two sections and a gap of whole pages between them, and
 * a writable one. */
enum {
	TEXT_OFFSET = 0x1000,
	TEXT_SIZE = 0x2800,
	CONSTANT_OFFSET = 0x6000,
	CONSTANT_SIZE = 0x1000,
	FILE_SIZE = 0x9000,
	SECTIONS_AT = 0x8800,
};

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
};

static uint8_t file[FILE_SIZE];

static struct image *make(void)
{
	struct image *image = (struct image *)(void *)file;
	Elf64_Shdr *sections = (Elf64_Shdr *)(void *)(file + SECTIONS_AT);

	memset(file, 0, sizeof file);
	memcpy(image->header.e_ident, ELFMAG, SELFMAG);
	image->header.e_ident[EI_CLASS] = ELFCLASS64;
	image->header.e_ident[EI_DATA] = ELFDATA2LSB;
	image->header.e_ident[EI_VERSION] = EV_CURRENT;
	image->header.e_type = ET_EXEC;
	image->header.e_machine = EM_X86_64;
	image->header.e_version = EV_CURRENT;
	image->header.e_entry = 0x1000000;
	image->header.e_phoff = sizeof image->header;
	image->header.e_ehsize = sizeof image->header;
	image->header.e_phentsize = sizeof(Elf64_Phdr);
	image->header.e_phnum = 2;
	image->header.e_shoff = SECTIONS_AT;
	image->header.e_shentsize = sizeof(Elf64_Shdr);
	image->header.e_shnum = 3;
	image->segments[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
					   .p_flags = PF_R | PF_X,
					   .p_offset = 0x1000,
					   .p_paddr = 0x1000000,
					   .p_filesz = 0x6000,
					   .p_memsz = 0x6000 };
	image->segments[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
					   .p_flags = PF_R | PF_W,
					   .p_offset = 0x7000,
					   .p_paddr = 0x1200000,
					   .p_filesz = 0x1000,
					   .p_memsz = 0x3000 };
	sections[1] = (Elf64_Shdr){ .sh_type = SHT_PROGBITS,
				    .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
				    .sh_offset = TEXT_OFFSET,
				    .sh_size = TEXT_SIZE };
	sections[2] = (Elf64_Shdr){ .sh_type = SHT_PROGBITS,
				    .sh_flags = SHF_ALLOC,
				    .sh_offset = CONSTANT_OFFSET,
				    .sh_size = CONSTANT_SIZE };
	return image;
}

static int parse(size_t size, struct elf_image *out)
{
	struct error err;

	return elf_parse(file, size, EM_X86_64, out, &err);
}

Test(elf, good)
{
	struct elf_image out;

	make();
	cr_assert_eq(parse(FILE_SIZE, &out), 0);
	cr_assert_eq(out.entry, 0x1000000);
	cr_assert_eq(out.segment_count, 2);
	cr_assert_eq(out.segments[1].address, 0x1200000);
	cr_assert_eq(out.segments[1].memory_size, 0x3000);
	cr_assert(out.segments[1].writable && !out.segments[0].writable);
}

/* Gives the file a section of pages written, of `count` pairs. */
static void add_written(const uint32_t (*pairs)[2], size_t count)
{
	static const char names[] = "\0.katavm.written";
	struct image *image = (struct image *)(void *)file;
	Elf64_Shdr *sections = (Elf64_Shdr *)(void *)(file + SECTIONS_AT);

	memcpy(file + 0x8200, names, sizeof names);
	memcpy(file + 0x8300, pairs, count * sizeof *pairs);
	sections[3] = (Elf64_Shdr){
		.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = 0x8300, .sh_size = count * 8
	};
	sections[4] =
	    (Elf64_Shdr){ .sh_type = SHT_STRTAB, .sh_offset = 0x8200, .sh_size = sizeof names };
	image->header.e_shnum = 5;
	image->header.e_shstrndx = 4;
}

Test(elf, pages_written)
{
	const uint32_t pairs[][2] = { { 0x1001, 2 }, { ~0U, ~0U } };
	struct elf_image out;

	make();
	add_written(pairs, sizeof pairs / sizeof *pairs);
	cr_assert_eq(parse(FILE_SIZE, &out), 0);
	cr_assert_eq(out.written_count, 2);
	cr_assert_eq(out.written[0].address, 0x1001000);
	cr_assert_eq(out.written[0].size, 0x2000);
	cr_assert_eq(out.written[1].address, 0xffffffff000ULL); /* no guest has it */
}

/* The half page at the end of text, and the gap behind it, are the guest's to free. */
Test(elf, constants_are_whole_pages_of_sections)
{
	struct elf_image out;

	make();
	cr_assert_eq(parse(FILE_SIZE, &out), 0);
	cr_assert_eq(out.constant_count, 2);
	cr_assert_eq(out.constants[0].address, 0x1000000);
	cr_assert_eq(out.constants[0].size, 0x2000);
	cr_assert_eq(out.constants[1].offset, CONSTANT_OFFSET);
	cr_assert_eq(out.constants[1].address, 0x1005000);
	cr_assert_eq(out.constants[1].size, 0x1000);
}

Test(elf, writable_segments_are_never_constant)
{
	struct image *image = make();
	struct elf_image out;

	image->segments[0].p_flags |= PF_W;
	cr_assert_eq(parse(FILE_SIZE, &out), 0);
	cr_assert_eq(out.constant_count, 0);
}

Test(elf, pages_that_do_not_line_up_are_never_constant)
{
	struct image *image = make();
	struct elf_image out;

	image->segments[0].p_paddr += 0x10;
	image->header.e_entry += 0x10;
	cr_assert_eq(parse(FILE_SIZE, &out), 0);
	cr_assert_eq(out.constant_count, 0);
}

Test(elf, small_gaps_belong_to_their_neighbours)
{
	struct elf_image out;
	Elf64_Shdr *sections = (Elf64_Shdr *)(void *)(file + SECTIONS_AT);

	make();
	sections[2].sh_offset = TEXT_OFFSET + TEXT_SIZE + 0x40;
	cr_assert_eq(parse(FILE_SIZE, &out), 0);
	cr_assert_eq(out.constant_count, 1);
	cr_assert_eq(out.constants[0].size, 0x3000);
}

Test(elf, not_elf)
{
	struct elf_image out;
	struct error err;

	make();
	file[0] = 'M';
	cr_assert_eq(elf_parse(file, FILE_SIZE, EM_X86_64, &out, &err), -ENOEXEC);
	cr_assert(strstr(err.text, "not an ELF file"));
	cr_assert_eq(parse(0, &out), -ENOEXEC);
}

Test(elf, other_machine_and_class)
{
	struct image *image = make();
	struct elf_image out;

	image->header.e_machine = EM_AARCH64;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
	image = make();
	image->header.e_ident[EI_CLASS] = ELFCLASS32;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
	image = make();
	image->header.e_type = ET_REL;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
}

Test(elf, truncated_anywhere)
{
	struct elf_image out;

	make();
	for (size_t size = 0; size < FILE_SIZE; size += 61)
		if (size < SECTIONS_AT + 3 * sizeof(Elf64_Shdr))
			cr_assert_eq(parse(size, &out), -ENOEXEC, "size %zu", size);
}

Test(elf, overlap)
{
	struct image *image = make();
	struct elf_image out;

	image->segments[1].p_paddr = 0x1005fff;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
	image->segments[1].p_paddr = 0x1006000;
	cr_assert_eq(parse(FILE_SIZE, &out), 0);
}

Test(elf, huge_fields)
{
	struct image *image = make();
	struct elf_image out;

	image->segments[1].p_memsz = UINT64_MAX;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
	image = make();
	image->segments[1].p_filesz = UINT64_MAX;
	image->segments[1].p_memsz = UINT64_MAX;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
	image = make();
	image->segments[1].p_offset = UINT64_MAX - 1;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
	image = make();
	image->segments[1].p_memsz = 0x10; /* less than in the file */
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
	image = make();
	image->header.e_phnum = 0xffff;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
}

Test(elf, entry_outside)
{
	struct image *image = make();
	struct elf_image out;

	image->header.e_entry = 0x1006000;
	cr_assert_eq(parse(FILE_SIZE, &out), -ENOEXEC);
}

#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A kernel image (ELF64 executable) taken apart and judged: every number in struct elf_image has
 * been checked against the file's size, nothing overlaps, nothing wraps. Where it fits in a
 * particular guest is for the caller to see.
 */
enum { ELF_MAX_SEGMENTS = 16, ELF_MAX_CONSTANT = 64, ELF_MAX_WRITTEN = 512 };

struct elf_segment {
	uint64_t offset, file_size;    /* bytes of the file ... */
	uint64_t address, memory_size; /* ... at this physical address, zeroes behind them */
	bool writable;
};

/* Whole pages that the kernel never frees and writes to at most while it starts: code and
 * constants. Ascending, each within one segment's file bytes. */
struct elf_constant {
	uint64_t offset, address, size;
};

/* Pages that the kernel was seen to write to before its init, of its image and of memory behind it.
 * A hint, from a section that the kernel's build adds: pairs of 32-bit numbers, a page of the guest
 * and how many from there. Whether the guest has them is for the caller to see. */
struct elf_written {
	uint64_t address, size;
};

struct elf_image {
	uint64_t entry; /* physical */
	size_t segment_count, constant_count, written_count;
	struct elf_segment segments[ELF_MAX_SEGMENTS]; /* ascending by address */
	struct elf_constant constants[ELF_MAX_CONSTANT];
	struct elf_written written[ELF_MAX_WRITTEN];
};

/* `file` is the whole file and is not written to. */
int elf_parse(void *file, size_t size, uint16_t machine, struct elf_image *out, struct error *err);

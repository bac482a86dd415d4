/* elf_parse over any bytes; what passes must hold its promises. */
#include "base/check.h"
#include "vmm/elf.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_image(const struct elf_image *image, size_t size)
{
	for (size_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];

		CHECK(s->file_size <= size && s->offset <= size - s->file_size);
		CHECK(s->file_size <= s->memory_size);
		CHECK(s->address + s->memory_size >= s->address);
		CHECK(i == 0 ||
		      image->segments[i - 1].address + image->segments[i - 1].memory_size <=
			  s->address);
	}
	for (size_t i = 0; i < image->constant_count; i++) {
		const struct elf_constant *c = &image->constants[i];
		size_t inside = 0;

		CHECK(c->size > 0 && c->size % 0x1000 == 0 && c->address % 0x1000 == 0 &&
		      c->offset % 0x1000 == 0);
		for (size_t j = 0; j < image->segment_count; j++) {
			const struct elf_segment *s = &image->segments[j];

			inside += c->offset >= s->offset && c->address >= s->address &&
				  c->offset - s->offset == c->address - s->address &&
				  c->offset + c->size <= s->offset + s->file_size;
		}
		CHECK(inside == 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct elf_image image;
	struct error err;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (elf_parse(copy, size, EM_X86_64, &image, &err) == 0)
		check_image(&image, size);
	free(copy);
	return 0;
}

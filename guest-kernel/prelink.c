/* prelink VMLINUX: does once, in the file of a linked x86_64 kernel, what the kernel would do at every boot.
 *
 * Returns. With CONFIG_MITIGATION_RETHUNK every return of the kernel is compiled as a jump to a thunk, and a processor that needs
 * no thunk has them all rewritten at boot: tens of thousands of instructions decoded, and every page of the text copied in
 * every guest. Here the rewriting is done once, in the file. A processor that does need the thunk gets its jumps at boot
 * (patches/0003). The kernel's own list, section .return_sites, says where they are: one 32-bit self-relative offset each.
 *
 * Tables. The sites of static keys and of static calls are sorted by their keys at boot, unless they are sorted already
 * (patches/0009). All that they hold is relative to its own place.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
	uint8_t *bytes;
	size_t size;
	const Elf64_Ehdr *header;
	const Elf64_Shdr *sections;
};

static const Elf64_Shdr *find_section(const struct image *image, const char *name)
{
	const Elf64_Shdr *names = &image->sections[image->header->e_shstrndx];

	for (unsigned i = 0; i < image->header->e_shnum; i++)
		if (!strcmp((const char *)image->bytes + names->sh_offset + image->sections[i].sh_name, name))
			return &image->sections[i];
	return NULL;
}

static uint64_t find_symbol(const struct image *image, const char *name)
{
	const Elf64_Shdr *table = find_section(image, ".symtab");
	if (!table)
		return 0;
	const Elf64_Sym *symbols = (const Elf64_Sym *)(image->bytes + table->sh_offset);
	const char *names = (const char *)image->bytes + image->sections[table->sh_link].sh_offset;

	for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++)
		if (!strcmp(names + symbols[i].st_name, name))
			return symbols[i].st_value;
	return 0;
}

static uint8_t *at_address(const struct image *image, uint64_t address, size_t length)
{
	for (unsigned i = 0; i < image->header->e_shnum; i++) {
		const Elf64_Shdr *s = &image->sections[i];
		if ((s->sh_flags & SHF_ALLOC) && s->sh_type != SHT_NOBITS && address >= s->sh_addr &&
		    address - s->sh_addr < s->sh_size && s->sh_size - (address - s->sh_addr) >= length)
			return image->bytes + s->sh_offset + (address - s->sh_addr);
	}
	return NULL;
}

static int resolve(const struct image *image)
{
	static const uint8_t plain_return[5] = { 0xc3, 0xcc, 0xcc, 0xcc, 0xcc };
	const Elf64_Shdr *sites = find_section(image, ".return_sites");
	uint64_t thunk = find_symbol(image, "__x86_return_thunk");
	if (!sites || !thunk) {
		fprintf(stderr, "prelink: no list of returns in this kernel\n");
		return 1;
	}
	size_t resolved = 0, count = sites->sh_size / sizeof(int32_t);
	for (size_t i = 0; i < count; i++) {
		uint64_t entry = sites->sh_addr + i * sizeof(int32_t);
		int32_t offset, distance;
		memcpy(&offset, image->bytes + sites->sh_offset + i * sizeof(offset), sizeof(offset));
		uint64_t site = entry + (uint64_t)(int64_t)offset;
		uint8_t *code = at_address(image, site, sizeof(plain_return));
		if (!code || *code != 0xe9)
			continue;
		memcpy(&distance, code + 1, sizeof(distance));
		if (site + sizeof(plain_return) + (uint64_t)(int64_t)distance != thunk)
			continue;
		memcpy(code, plain_return, sizeof(plain_return));
		resolved++;
	}
	fprintf(stderr, "prelink: %zu of %zu returns\n", resolved, count);
	return resolved == count ? 0 : 1;
}

struct key_site { /* struct jump_entry of the kernel */
	int32_t code, target;
	int64_t key;
};

struct call_site { /* struct static_call_site */
	int32_t address, key;
};

/* An entry of either table with what it holds as addresses. */
struct site {
	uint64_t code, target, key;
};

static int compare(const void *left, const void *right)
{
	const struct site *a = left, *b = right;
	uint64_t key_a = a->key & ~3ULL, key_b = b->key & ~3ULL; /* the low bits are flags */

	if (key_a != key_b)
		return key_a < key_b ? -1 : 1;
	return a->code < b->code ? -1 : a->code > b->code;
}

static struct site *find_table(const struct image *image, const char *first, const char *last, size_t entry_size,
			       uint64_t *start, uint8_t **bytes, size_t *count)
{
	uint64_t end = find_symbol(image, last);

	*start = find_symbol(image, first);
	if (!*start || end <= *start || !(*bytes = at_address(image, *start, end - *start))) {
		fprintf(stderr, "prelink: no table %s in this kernel\n", first);
		return NULL;
	}
	*count = (end - *start) / entry_size;
	return calloc(*count, sizeof(struct site));
}

static int sort_keys(const struct image *image)
{
	uint64_t start;
	uint8_t *bytes;
	size_t count;
	struct site *sites = find_table(image, "__start___jump_table", "__stop___jump_table", sizeof(struct key_site), &start,
					&bytes, &count);
	struct key_site *table = (struct key_site *)bytes;

	if (!sites)
		return 1;
	for (size_t i = 0; i < count; i++) {
		uint64_t at = start + i * sizeof(*table);
		sites[i] = (struct site){ at + (uint64_t)(int64_t)table[i].code, at + 4 + (uint64_t)(int64_t)table[i].target,
					  at + 8 + (uint64_t)table[i].key };
	}
	qsort(sites, count, sizeof(*sites), compare);
	for (size_t i = 0; i < count; i++) {
		uint64_t at = start + i * sizeof(*table);
		table[i] = (struct key_site){ (int32_t)(sites[i].code - at), (int32_t)(sites[i].target - at - 4),
					      (int64_t)(sites[i].key - at - 8) };
	}
	free(sites);
	fprintf(stderr, "prelink: %zu sites of static keys\n", count);
	return 0;
}

static int sort_calls(const struct image *image)
{
	uint64_t start;
	uint8_t *bytes;
	size_t count;
	struct site *sites = find_table(image, "__start_static_call_sites", "__stop_static_call_sites", sizeof(struct call_site),
					&start, &bytes, &count);
	struct call_site *table = (struct call_site *)bytes;

	if (!sites)
		return 1;
	for (size_t i = 0; i < count; i++) {
		uint64_t at = start + i * sizeof(*table);
		sites[i] = (struct site){ .code = at + (uint64_t)(int64_t)table[i].address,
					  .key = at + 4 + (uint64_t)(int64_t)table[i].key };
	}
	qsort(sites, count, sizeof(*sites), compare);
	for (size_t i = 0; i < count; i++) {
		uint64_t at = start + i * sizeof(*table);
		table[i] = (struct call_site){ (int32_t)(sites[i].code - at), (int32_t)(sites[i].key - at - 4) };
	}
	free(sites);
	fprintf(stderr, "prelink: %zu sites of static calls\n", count);
	return 0;
}

int main(int argc, char **argv)
{
	struct stat st;
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(Elf64_Ehdr)) {
		fprintf(stderr, "usage: prelink VMLINUX\n");
		return 2;
	}
	struct image image = { .size = (size_t)st.st_size };
	image.bytes = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (image.bytes == MAP_FAILED) {
		perror("prelink: mmap");
		return 1;
	}
	image.header = (const Elf64_Ehdr *)image.bytes;
	image.sections = (const Elf64_Shdr *)(image.bytes + image.header->e_shoff);
	if (memcmp(image.header->e_ident, ELFMAG, SELFMAG) || image.header->e_machine != EM_X86_64) {
		fprintf(stderr, "prelink: not an x86_64 kernel\n");
		return 1;
	}
	int status = resolve(&image) || sort_keys(&image) || sort_calls(&image);
	return munmap(image.bytes, image.size) || close(fd) ? 1 : status;
}

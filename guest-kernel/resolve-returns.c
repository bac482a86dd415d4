/* resolve-returns VMLINUX: turns the jumps to the return thunk of a linked x86_64 kernel into plain returns, in place.
 *
 * With CONFIG_MITIGATION_RETHUNK every return of the kernel is compiled as a jump to a thunk, and a processor that needs
 * no thunk has them all rewritten at boot: tens of thousands of instructions decoded, and every page of the text copied in
 * every guest. Here the rewriting is done once, in the file. A processor that does need the thunk gets its jumps at boot
 * (patches/0003). The kernel's own list, section .return_sites, says where they are: one 32-bit self-relative offset each.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
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
		fprintf(stderr, "resolve-returns: no list of returns in this kernel\n");
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
	fprintf(stderr, "resolve-returns: %zu of %zu returns\n", resolved, count);
	return resolved == count ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct stat st;
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(Elf64_Ehdr)) {
		fprintf(stderr, "usage: resolve-returns VMLINUX\n");
		return 2;
	}
	struct image image = { .size = (size_t)st.st_size };
	image.bytes = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (image.bytes == MAP_FAILED) {
		perror("resolve-returns: mmap");
		return 1;
	}
	image.header = (const Elf64_Ehdr *)image.bytes;
	image.sections = (const Elf64_Shdr *)(image.bytes + image.header->e_shoff);
	if (memcmp(image.header->e_ident, ELFMAG, SELFMAG) || image.header->e_machine != EM_X86_64) {
		fprintf(stderr, "resolve-returns: not an x86_64 kernel\n");
		return 1;
	}
	int status = resolve(&image);
	return munmap(image.bytes, image.size) || close(fd) ? 1 : status;
}

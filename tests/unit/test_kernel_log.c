#include "base/own.h"
#include "base/sys.h"
#include "vmm/kernel.h"
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A guest whose kernel has one writable segment, with a printk ring as Linux 6.8 has it
 * (kernel/printk/printk_ringbuffer.h). */
enum {
	RAM_SIZE = 4 << 20,
	RING_AT = 0x100, /* offsets into RAM, which is the segment, too */
	DESCRIPTORS_AT = 0x10000,
	INFOS_AT = 0x100000,
	TEXT_AT = 0x300000,
	COUNT_BITS = 13,
	COUNT = 1 << COUNT_BITS,
	TEXT_BITS = 16,
	TEXT_MAX = 1024,
	OUTPUT_MAX = 2 << 20,
};
#define IMAGE_BASE 0xffffffff80000000ULL
#define RAM_START  0x1000000ULL
#define FINALIZED  (2ULL << 62)

struct ring {
	uint32_t count_bits, unused;
	uint64_t descriptors, infos, head_id, tail_id, last_finalized;
	uint32_t size_bits, unused_too;
	uint64_t data, head, tail;
};

struct descriptor {
	uint64_t state, begin, next;
};

struct info {
	uint64_t sequence, time_ns;
	uint16_t text_size;
	uint8_t facility, level;
	uint32_t caller;
	char device[64];
};

static _Alignas(4096) uint8_t ram[RAM_SIZE];
static char output[OUTPUT_MAX + 1];
static struct memory memory;
static int kernel_fd;

static uint64_t linear(uint64_t offset)
{
	return IMAGE_BASE + RAM_START + offset;
}

static void make_kernel(void)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segment;
	} image = {
		.header = { .e_type = ET_EXEC,
			    .e_machine = EM_X86_64,
			    .e_version = EV_CURRENT,
			    .e_entry = RAM_START,
			    .e_phoff = sizeof(Elf64_Ehdr),
			    .e_ehsize = sizeof(Elf64_Ehdr),
			    .e_phentsize = sizeof(Elf64_Phdr),
			    .e_phnum = 1 },
		.segment = { .p_type = PT_LOAD,
			     .p_flags = PF_R | PF_W,
			     .p_paddr = RAM_START,
			     .p_filesz = 16,
			     .p_memsz = RAM_SIZE },
	};

	memcpy(image.header.e_ident, ELFMAG, SELFMAG);
	image.header.e_ident[EI_CLASS] = ELFCLASS64;
	image.header.e_ident[EI_DATA] = ELFDATA2LSB;
	image.header.e_ident[EI_VERSION] = EV_CURRENT;
	kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	cr_assert_eq(sys_write_all(kernel_fd, &image, sizeof image), 0);
}

static void setup(void)
{
	memset(ram, 0, sizeof ram);
	memory = (struct memory){ .fd = -1, .usage_fd = -1, .more_fd = -1 };
	cr_assert_eq(gmem_add(&memory.gmem, (gpa_t){ RAM_START }, ram, sizeof ram), 0);
	make_kernel();
}

static void finish(void)
{
	close(kernel_fd);
}

TestSuite(kernel_log, .init = setup, .fini = finish);

static void make_ring(uint64_t count)
{
	*(struct ring *)(void *)(ram + RING_AT) =
	    (struct ring){ .count_bits = COUNT_BITS,
			   .descriptors = linear(DESCRIPTORS_AT),
			   .infos = linear(INFOS_AT),
			   .head_id = count - 1,
			   .size_bits = TEXT_BITS,
			   .data = linear(TEXT_AT) };
}

static void make_record(uint64_t id, uint64_t begin, uint64_t size)
{
	((struct descriptor *)(void *)(ram + DESCRIPTORS_AT))[id] =
	    (struct descriptor){ .state = FINALIZED | id, .begin = begin, .next = begin };
	((struct info *)(void *)(ram + INFOS_AT))[id] =
	    (struct info){ .time_ns = id * 1000000000, .text_size = (uint16_t)size };
}

static void add_text(uint64_t id, uint64_t begin, const char *text)
{
	make_record(id, begin, strlen(text));
	memcpy(ram + TEXT_AT + begin + sizeof(uint64_t), text, strlen(text));
}

static size_t dump(void)
{
	own_fd file = memfd_create("log", MFD_CLOEXEC);
	struct error err = { 0 };
	struct stat status;

	cr_assert_eq(kernel_dump_log(&memory, kernel_fd, file, &err), 0, "%s", err.text);
	cr_assert_eq(fstat(file, &status), 0);
	cr_assert_leq(status.st_size, OUTPUT_MAX);
	cr_assert_eq(sys_pread_all(file, output, (size_t)status.st_size, 0), 0);
	output[status.st_size] = '\0';
	return (size_t)status.st_size;
}

Test(kernel_log, lines_in_their_order_and_escaped)
{
	make_ring(3);
	add_text(0, 0, "first");
	add_text(1, 64, "a \x1b[31mred\n one");
	add_text(2, 128, "last");
	(void)dump();
	cr_assert_str_eq(output, "[    0.000000] first\n"
				 "[    1.000000] a \\x1b[31mred\\x0a one\n"
				 "[    2.000000] last\n");
}

Test(kernel_log, what_makes_no_sense_is_left_out)
{
	make_ring(4);
	add_text(0, 0, "first");
	make_record(1, (1 << TEXT_BITS) - 2, 100);                 /* past the end */
	((struct descriptor *)(void *)(ram + DESCRIPTORS_AT))[2] = /* not written yet */
	    (struct descriptor){ .state = 2 };
	add_text(3, 128, "last");
	(void)dump();
	cr_assert_str_eq(output, "[    0.000000] first\n[    3.000000] last\n");
}

Test(kernel_log, no_ring)
{
	struct error err;

	cr_assert_eq(kernel_dump_log(&memory, kernel_fd, -1, &err), -ENODATA);
}

/* All records are the same text, which is as long as can be when it is escaped. */
Test(kernel_log, a_guest_decides_nothing_about_its_size)
{
	size_t size;

	make_ring(COUNT);
	memset(ram + TEXT_AT + sizeof(uint64_t), '\x1b', TEXT_MAX);
	for (uint64_t id = 0; id < COUNT; id++)
		make_record(id, 0, TEXT_MAX);
	size = dump();
	cr_assert_gt(size, OUTPUT_MAX - 2 * 4 * TEXT_MAX);
	cr_assert_not(strstr(output, "[    0.000000]"));
	cr_assert(strstr(output, "[ 8191.000000]"), "the newest are kept");
}

Test(kernel_log, ends_with_the_first_write_that_fails)
{
	own_fd full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct error err;

	make_ring(1);
	add_text(0, 0, "first");
	cr_assert_eq(kernel_dump_log(&memory, kernel_fd, full, &err), -ENOSPC);
	cr_assert_str_eq(err.text, "kernel log: write: No space left on device");
}

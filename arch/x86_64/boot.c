/*
 * Linux's 64-bit boot protocol without firmware (Documentation/arch/x86/boot.rst): the zero page
 * with a memory map and a command line, page tables that map the first GiB to itself, a GDT and
 * an MP table.
 */
#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/mptable.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	MEMORY_RAM = 1,
	MEMORY_RESERVED = 2,
	BOOT_FLAG = 0xaa55,
	PROTOCOL = 0x020f,
	LOADER_UNKNOWN = 0xff,
	FLAG_LOADED_HIGH = 1,
	PAGE_PRESENT_WRITABLE = 0x3,
	PAGE_LARGE = 0x80,
	TABLE_ENTRIES = 512,
};
#define HEADER_MAGIC 0x53726448U /* "HdrS" */
#define LARGE_PAGE   0x200000ULL

/* See guest-kernel/README.md for why each is there. Without the last one the dummy driver, which is
 * for containers that make such interfaces, makes one of its own: a container has only loopback. */
const char arch_kernel_parameters[] =
    "panic=-1 noreplace-smp tsc=reliable rcupdate.rcu_expedited=1 cgroup_no_v1=all "
    "swiotlb=noforce slab_max_order=1 dummy.numdummies=0";

__attribute__((format(printf, 3, 4))) static int append(char *line, size_t *used,
							const char *format, ...)
{
	size_t room = ARCH_CMDLINE_SIZE - *used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line + *used, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		return -E2BIG;
	*used += (size_t)n;
	return 0;
}

static int write_cmdline(const struct gmem *mem, const struct arch_boot *boot, struct error *err)
{
	char line[ARCH_CMDLINE_SIZE];
	struct arch_mmio slot;
	size_t used = 0;
	int r = append(line, &used, "%s", arch_kernel_parameters);

	for (unsigned i = 0; r == 0 && i < boot->device_count; i++) {
		r = arch_mmio_slot(i, &slot);
		if (r == 0)
			r = append(line, &used, " virtio_mmio.device=4K@0x%llx:%u",
				   (unsigned long long)slot.start, slot.irq);
	}
	if (r == 0 && boot->parameters[0])
		r = append(line, &used, " %s", boot->parameters);
	if (r < 0)
		return error_set(err, r, "kernel command line: longer than %d characters",
				 ARCH_CMDLINE_SIZE - 1);
	return gmem_write(mem, (gpa_t){ LAYOUT_CMDLINE }, line, used + 1);
}

static void add_e820(struct boot_params *params, uint64_t start, uint64_t end, uint32_t type)
{
	params->e820_table[params->e820_entries++] =
	    (struct boot_e820_entry){ .addr = start, .size = end - start, .type = type };
}

static int write_zero_page(const struct gmem *mem, const struct arch_boot *boot)
{
	struct boot_params params = { 0 };
	uint64_t low_end = boot->ram[0].start + boot->ram[0].size;

	params.hdr.boot_flag = BOOT_FLAG;
	params.hdr.header = HEADER_MAGIC;
	params.hdr.version = PROTOCOL;
	params.hdr.type_of_loader = LOADER_UNKNOWN;
	params.hdr.loadflags = FLAG_LOADED_HIGH;
	params.hdr.kernel_alignment = (uint32_t)LARGE_PAGE;
	params.hdr.cmd_line_ptr = (uint32_t)LAYOUT_CMDLINE;
	params.hdr.cmdline_size = ARCH_CMDLINE_SIZE - 1;
	params.hdr.ramdisk_image = (uint32_t)boot->initramfs.start;
	params.hdr.ramdisk_size = (uint32_t)boot->initramfs.size;
	add_e820(&params, 0, LAYOUT_LOW_RAM_END, MEMORY_RAM);
	add_e820(&params, LAYOUT_LOW_RAM_END, LAYOUT_HIGH_RAM_START, MEMORY_RESERVED);
	add_e820(&params, LAYOUT_HIGH_RAM_START, low_end, MEMORY_RAM);
	for (size_t i = 1; i < boot->ram_count; i++)
		add_e820(&params, boot->ram[i].start, boot->ram[i].start + boot->ram[i].size,
			 MEMORY_RAM);
	return gmem_put(mem, (gpa_t){ LAYOUT_ZERO_PAGE }, &params);
}

static int write_page_tables(const struct gmem *mem)
{
	uint64_t directory[TABLE_ENTRIES];
	uint64_t entry = LAYOUT_PDPT | PAGE_PRESENT_WRITABLE;
	int r = gmem_put(mem, (gpa_t){ LAYOUT_PML4 }, &entry);

	entry = LAYOUT_PD | PAGE_PRESENT_WRITABLE;
	if (r == 0)
		r = gmem_put(mem, (gpa_t){ LAYOUT_PDPT }, &entry);
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
		directory[i] = i * LARGE_PAGE | PAGE_LARGE | PAGE_PRESENT_WRITABLE;
	if (r == 0)
		r = gmem_put(mem, (gpa_t){ LAYOUT_PD }, &directory);
	return r;
}

static int write_gdt(const struct gmem *mem)
{
	static const uint64_t gdt[] = {
		0, 0, 0x00af9b000000ffffULL /* 64-bit code */, 0x00cf93000000ffffULL /* data */
	};

	return gmem_put(mem, (gpa_t){ LAYOUT_GDT }, &gdt);
}

static int write_mptable(const struct gmem *mem, unsigned vcpu_count, unsigned device_count)
{
	unsigned lines = LAYOUT_IRQ_END - LAYOUT_IRQ_FIRST; /* shared by more devices than that */
	unsigned irq_count = device_count < lines ? device_count : lines;
	uint8_t table[MPTABLE_MAX_SIZE], pointer[MPTABLE_POINTER_SIZE];
	size_t size =
	    mptable_build(vcpu_count, irq_count, (uint32_t)LAYOUT_MP_TABLE, table, pointer);
	int r = size ? 0 : -EINVAL;

	if (r == 0)
		r = gmem_write(mem, (gpa_t){ LAYOUT_MP_TABLE }, table, size);
	if (r == 0)
		r = gmem_put(mem, (gpa_t){ LAYOUT_MP_POINTER }, &pointer);
	return r;
}

int arch_write_boot_tables(const struct gmem *mem, const struct arch_boot *boot, struct error *err)
{
	int r = write_cmdline(mem, boot, err);

	if (r < 0)
		return r;
	r = write_zero_page(mem, boot);
	if (r == 0)
		r = write_page_tables(mem);
	if (r == 0)
		r = write_gdt(mem);
	if (r == 0)
		r = write_mptable(mem, boot->vcpu_count, boot->device_count);
	if (r < 0)
		return error_set(err, r, "boot tables: %s", strerrordesc_np(-r));
	return 0;
}

#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include <asm/bootparam.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static uint8_t low[0x100000];
static struct gmem mem;
static struct arch_range ram[ARCH_MAX_RAM_RANGES];

static int boot(uint64_t size, unsigned devices, const char *parameters)
{
	struct error err;
	size_t count = arch_ram_layout(size, ram);

	mem = (struct gmem){ 0 };
	memset(low, 0, sizeof low);
	cr_assert_eq(gmem_add(&mem, (gpa_t){ 0 }, low, sizeof low), 0);
	return arch_write_boot_tables(&mem,
				      &(struct arch_boot){ .ram = ram,
							   .ram_count = count,
							   .initramfs = { 0x2000000, 12345 },
							   .parameters = parameters,
							   .device_count = devices,
							   .vcpu_count = 32 },
				      &err);
}

Test(layout, hole)
{
	cr_assert_eq(arch_ram_layout(32ULL << 20, ram), 1);
	cr_assert_eq(ram[0].size, 32ULL << 20);
	cr_assert_eq(arch_ram_layout(3072ULL << 20, ram), 1);
	cr_assert_eq(ram[0].size, 3072ULL << 20);
	cr_assert_eq(arch_ram_layout(5120ULL << 20, ram), 2);
	cr_assert_eq(ram[0].size, LAYOUT_HOLE_START);
	cr_assert_eq(ram[1].start, 1ULL << 32);
	cr_assert_eq(ram[1].size, 2048ULL << 20);
}

Test(layout, devices)
{
	struct arch_mmio slot;

	for (unsigned i = 0; i < ARCH_MMIO_SLOTS; i++) {
		cr_assert_eq(arch_mmio_slot(i, &slot), 0);
		cr_assert_eq(slot.start, 0xd0000000ULL + i * 0x1000ULL);
		cr_assert(slot.irq >= 5 && slot.irq < 24);
	}
	cr_assert_eq(arch_mmio_slot(ARCH_MMIO_SLOTS, &slot), -ENOSPC);
}

Test(layout, linear_map)
{
	gpa_t at;

	cr_assert_eq(arch_kernel_linear(0xffffffff81000000ULL, &at), 0);
	cr_assert_eq(at.value, 0x1000000);
	cr_assert_eq(arch_kernel_linear(0xffff888012345678ULL, &at), 0);
	cr_assert_eq(at.value, 0x12345678);
	cr_assert_eq(arch_kernel_linear(0x1000, &at), -EFAULT);
	cr_assert_eq(arch_kernel_linear(UINT64_MAX, &at), -EFAULT);
}

Test(boot, memory_map)
{
	const struct boot_params *params = (const void *)(low + LAYOUT_ZERO_PAGE);

	cr_assert_eq(boot(5120ULL << 20, 3, ""), 0);
	cr_assert_eq(params->e820_entries, 4);
	for (int i = 1; i < 4; i++) /* ascending, without overlap */
		cr_assert_leq(params->e820_table[i - 1].addr + params->e820_table[i - 1].size,
			      params->e820_table[i].addr);
	cr_assert_eq(params->e820_table[2].addr, 0x100000);
	cr_assert_eq(params->e820_table[2].size, LAYOUT_HOLE_START - 0x100000);
	cr_assert_eq(params->e820_table[3].addr, 1ULL << 32);
	cr_assert_eq(params->hdr.ramdisk_image, 0x2000000);
	cr_assert_eq(params->hdr.ramdisk_size, 12345);
	cr_assert_eq(boot(64ULL << 20, 3, ""), 0);
	cr_assert_eq(params->e820_entries, 3);
}

Test(boot, command_line)
{
	const char *line = (const char *)low + LAYOUT_CMDLINE;

	cr_assert_eq(boot(64ULL << 20, 2, "foo=bar"), 0);
	cr_assert(strstr(line, "panic=-1"));
	cr_assert(strstr(line, " virtio_mmio.device=4K@0xd0000000:5 "));
	cr_assert(strstr(line, " virtio_mmio.device=4K@0xd0001000:6 "));
	cr_assert_str_eq(line + strlen(line) - 8, " foo=bar");
}

Test(boot, command_line_too_long)
{
	char parameters[ARCH_CMDLINE_SIZE];

	memset(parameters, 'x', sizeof parameters);
	parameters[sizeof parameters - 1] = '\0';
	cr_assert_eq(boot(64ULL << 20, 2, parameters), -E2BIG);
	cr_assert_eq(boot(64ULL << 20, ARCH_MMIO_SLOTS, ""), -E2BIG);
	parameters[1000] = '\0';
	cr_assert_eq(boot(64ULL << 20, 2, parameters), 0);
}

/* What shares page 0 does not overlap. */
Test(boot, first_page)
{
	char parameters[1025];

	memset(parameters, 'x', sizeof parameters);
	parameters[1024] = '\0';
	cr_assert_eq(boot(64ULL << 20, 10, parameters), 0);
	cr_assert_eq(memcmp(low + LAYOUT_MP_POINTER, "_MP_", 4), 0);
	cr_assert_eq(memcmp(low + LAYOUT_MP_TABLE, "PCMP", 4), 0);
	cr_assert_eq(low[0xfff], 0);
}

#include "arch/x86_64/layout.h"
#include "arch/arch.h"

#include <elf.h>
#include <errno.h>

/* Where Linux maps all physical memory, and itself, with KASLR off (Documentation/arch/x86/x86_64/
 * mm.rst). The first has two places, for 4 and 5 levels of page tables. */
#define LINEAR_4_LEVELS 0xffff888000000000ULL
#define LINEAR_5_LEVELS 0xff11000000000000ULL
#define LINEAR_SIZE     (1ULL << 46)
#define IMAGE_BASE      0xffffffff80000000ULL
#define IMAGE_SIZE      (1ULL << 30)

const uint16_t arch_elf_machine = EM_X86_64;
const uint64_t arch_kernel_lowest = LAYOUT_HIGH_RAM_START;

size_t arch_ram_layout(uint64_t size, struct arch_range out[ARCH_MAX_RAM_RANGES])
{
	uint64_t low = size < LAYOUT_HOLE_START ? size : LAYOUT_HOLE_START;

	out[0] = (struct arch_range){ .start = 0, .size = low };
	if (size == low)
		return 1;
	out[1] = (struct arch_range){ .start = LAYOUT_HOLE_END, .size = size - low };
	return 2;
}

uint64_t arch_more_ram_start(uint64_t size)
{
	struct arch_range ranges[ARCH_MAX_RAM_RANGES];
	size_t count = arch_ram_layout(size, ranges);
	uint64_t end = ranges[count - 1].start + ranges[count - 1].size;

	return end < LAYOUT_HOLE_END ? LAYOUT_HOLE_END : end;
}

int arch_mmio_slot(unsigned index, struct arch_mmio *out)
{
	if (index >= ARCH_MMIO_SLOTS)
		return -ENOSPC;
	*out = (struct arch_mmio){
		.start = LAYOUT_MMIO_START + index * 0x1000ULL,
		.size = 0x1000,
		.irq = LAYOUT_IRQ_FIRST + index % (LAYOUT_IRQ_END - LAYOUT_IRQ_FIRST),
	};
	return 0;
}

int arch_kernel_linear(uint64_t address, gpa_t *out)
{
	if (address >= IMAGE_BASE && address - IMAGE_BASE < IMAGE_SIZE)
		out->value = address - IMAGE_BASE;
	else if (address >= LINEAR_4_LEVELS && address - LINEAR_4_LEVELS < LINEAR_SIZE)
		out->value = address - LINEAR_4_LEVELS;
	else if (address >= LINEAR_5_LEVELS && address - LINEAR_5_LEVELS < LINEAR_SIZE)
		out->value = address - LINEAR_5_LEVELS;
	else
		return -EFAULT;
	return 0;
}

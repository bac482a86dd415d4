#pragma once
#include <stdint.h>

/*
 * The guest's physical address space on x86_64:
 *
 *   0                 boot tables in one page, then the zero page and page tables
 *   0x9fc00           where firmware data would start: reserved to 1 MiB
 *   1 MiB             RAM, up to LAYOUT_HOLE_START
 *   LAYOUT_HOLE_START devices: virtio-mmio windows, I/O APIC, local APIC, KVM's own pages
 *   4 GiB             the rest of RAM
 */
#define LAYOUT_MMIO_START     0xd0000000ULL
#define LAYOUT_HOLE_START     0xc0000000ULL
#define LAYOUT_HOLE_END       0x100000000ULL
#define LAYOUT_IDENTITY_MAP   0xfffbc000ULL /* one page for KVM */
#define LAYOUT_TSS            0xfffbd000ULL /* three pages for KVM */
#define LAYOUT_IOAPIC         0xfec00000ULL
#define LAYOUT_LOCAL_APIC     0xfee00000ULL
#define LAYOUT_LOW_RAM_END    0x9fc00ULL
#define LAYOUT_HIGH_RAM_START 0x100000ULL

/* In page 0: everything small, so that one page is touched instead of four. The MP floating
 * pointer must start within the first KiB; the kernel copies the command line before it uses the
 * page for anything else. */
#define LAYOUT_MP_POINTER 0x40ULL
#define LAYOUT_GDT        0x80ULL
#define LAYOUT_MP_TABLE   0x400ULL
#define LAYOUT_CMDLINE    0x800ULL /* up to the end of the page: ARCH_CMDLINE_SIZE */

#define LAYOUT_ZERO_PAGE 0x1000ULL
#define LAYOUT_PML4      0x2000ULL
#define LAYOUT_PDPT      0x3000ULL
#define LAYOUT_PD        0x4000ULL /* 512 entries of 2 MiB: the first GiB */

/* Interrupt lines: pins of the one I/O APIC. 0..4 are a PC's timer, keyboard, cascade and serial
 * lines. */
enum {
	LAYOUT_IRQ_FIRST = 5,
	LAYOUT_IRQ_END = 24,
};

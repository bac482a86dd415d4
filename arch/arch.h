#pragma once
#include "base/error.h"
#include "base/gmem.h"
#include <linux/kvm.h>

/*
 * Everything that differs between CPU architectures, in the order a VM needs it. One folder beside
 * this header implements it. Nothing here names a register or a table of one architecture.
 */
enum {
	ARCH_MAX_RAM_RANGES = 2,
	ARCH_CMDLINE_SIZE = 2048, /* with its terminating zero: what the kernel accepts */
	ARCH_PANIC_SIZE = 256,
};

struct arch_range {
	uint64_t start, size;
};

/* Where `size` bytes of RAM lie in the guest's address space, ascending. */
size_t arch_ram_layout(uint64_t size, struct arch_range out[ARCH_MAX_RAM_RANGES]);

/* The lowest address behind all RAM and devices for memory that comes later. */
uint64_t arch_more_ram_start(uint64_t size);

/* Where the window of virtio-mmio device number `index` is and which interrupt line it pulls.
 * -ENOSPC when there is none. Lines may be shared. */
struct arch_mmio {
	uint64_t start, size;
	unsigned irq;
};
enum { ARCH_MMIO_SLOTS = 64 };
int arch_mmio_slot(unsigned index, struct arch_mmio *out);

/* In-kernel interrupt controllers and whatever else a VM has before its first vCPU. Memory slots
 * are registered before: one added later waits for a grace period of the host. */
int arch_vm_init(int vm_fd, struct error *err);

/* What the host's CPU and KVM offer, asked once for all vCPUs. */
struct arch_cpus;
int arch_cpus_create(int kvm_fd, unsigned vcpu_count, struct arch_cpus **out, struct error *err);
void arch_cpus_destroy(struct arch_cpus *cpus);

/* Bring a new vCPU to where it enters the kernel (number 0) or waits to be woken by it (others). */
int arch_vcpu_init(const struct arch_cpus *cpus, int vcpu_fd, unsigned index, uint64_t entry,
		   struct error *err);

/* The kernel image: its ELF machine, parameters every guest gets, and how its addresses map. */
extern const uint16_t arch_elf_machine;
extern const char arch_kernel_parameters[];
/* Physical address behind an address of the kernel's linear map; -EFAULT if it is not in there. */
int arch_kernel_linear(uint64_t address, gpa_t *out);

/* What the kernel is told. Devices 0..device_count-1 of arch_mmio_slot are described to it. */
struct arch_boot {
	const struct arch_range *ram;
	size_t ram_count;
	struct arch_range initramfs; /* size 0: none */
	const char *parameters;      /* appended to arch_kernel_parameters */
	unsigned device_count, vcpu_count;
};
int arch_write_boot_tables(const struct gmem *mem, const struct arch_boot *boot, struct error *err);

/* The end of the first range is where an initramfs can go; below this address nothing may be
 * loaded, the boot tables are there. */
extern const uint64_t arch_kernel_lowest;

/* The platform's own little devices: the port that ends a VM and a serial line for early output. */
struct arch_platform {
	void (*output)(void *context, const uint8_t *bytes, size_t size); /* NULL: no serial line */
	void *context;
	char panic_text[ARCH_PANIC_SIZE]; /* guest data: escape it before showing it */
	size_t panic_size;
	uint8_t serial_registers[8];
};

enum arch_verdict {
	ARCH_RESUME,
	ARCH_SHUTDOWN,
	ARCH_REBOOT,
	ARCH_PANIC,
	ARCH_TRIPLE_FAULT,
	ARCH_UNKNOWN, /* not an exit of this architecture */
};

/* Judge an exit that the generic code does not know. Called on vCPU threads, one at a time. */
enum arch_verdict arch_handle_exit(struct arch_platform *platform, struct kvm_run *run);

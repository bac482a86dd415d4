#include "arch/arch.h"
#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/layout.h"
#include "base/own.h"
#include "base/sys.h"

#include <sys/ioctl.h>

#include <asm/kvm.h>
#include <string.h>

enum {
	CR0_PE = 1 << 0,
	CR0_MP = 1 << 1,
	CR0_ET = 1 << 4,
	CR0_NE = 1 << 5,
	CR4_PAE = 1 << 5,
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,
	SELECTOR_CODE = 0x10, /* where Linux's 64-bit boot protocol wants them */
	SELECTOR_DATA = 0x18,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_MTRR_DEFAULT = 0x2ff,
	MISC_FAST_STRING = 1,
	MTRR_WRITE_BACK = 6,
	MTRR_ENABLE = 1 << 11,
	CPUID_EXTENDED_STATE = 0xd,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_MODE_EXTINT = 7 << 8,
	APIC_MODE_NMI = 4 << 8,
};
#define CR0_PG 0x80000000U

struct arch_cpus {
	unsigned vcpu_count;
	bool deadline_timer;
	struct cpuid_table offered;
};

int arch_cpus_create(int kvm_fd, unsigned vcpu_count, struct arch_cpus **out, struct error *err)
{
	own_mem struct arch_cpus *cpus = calloc(1, sizeof *cpus);
	int r;

	if (!cpus)
		return error_set(err, -ENOMEM, "vCPU: no memory for the CPUID table");
	cpus->vcpu_count = vcpu_count;
	cpus->offered.head.nent = CPUID_MAX_ENTRIES;
	r = sys_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &cpus->offered);
	if (r < 0)
		return error_set(err, r, "/dev/kvm: ask for the CPUID leaves it supports: %s",
				 sys_text(r));
	cpus->deadline_timer =
	    (int)SYS(ioctl, kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	*out = take_ptr(cpus);
	return 0;
}

void arch_cpus_destroy(struct arch_cpus *cpus)
{
	free(cpus);
}

/* Every state that CPUID offers is on from the start, as firmware would leave it. A host that is
 * emulated need not tell its KVM when the guest's kernel switches it on, and CPUID would go on to
 * give the size of the area without it, of which Linux complains at length. */
static int set_extended_state(int fd, const struct cpuid_table *table)
{
	struct kvm_xcrs state = { .nr_xcrs = 1 };

	for (unsigned i = 0; i < table->head.nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &table->entries[i];

		if (entry->function == CPUID_EXTENDED_STATE && entry->index == 0)
			state.xcrs[0].value = entry->eax | (uint64_t)entry->edx << 32;
	}
	return state.xcrs[0].value == 0 ? 0 : sys_ioctl(fd, KVM_SET_XCRS, &state);
}

static int set_cpuid(const struct arch_cpus *cpus, int fd, unsigned index)
{
	struct cpuid_table table = cpus->offered; /* 10 KiB; few enough for any stack here */
	int khz = (int)SYS(ioctl, fd, KVM_GET_TSC_KHZ, 0);
	const struct cpuid_facts facts = {
		.vcpu_count = cpus->vcpu_count,
		.tsc_khz = khz > 0 ? (uint32_t)khz : 0,
		.deadline_timer = cpus->deadline_timer,
	};

	int r;

	cpuid_prepare(&table, &facts);
	cpuid_set_apic_id(&table, index);
	r = sys_ioctl(fd, KVM_SET_CPUID2, &table);
	return r < 0 ? r : set_extended_state(fd, &table);
}

/* Memory is write-back unless the guest says otherwise: without firmware nobody else sets it. */
static int set_msrs(int fd)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[2];
	} msrs = {
		.head.nmsrs = 2,
		.entries = {
			{ .index = MSR_MISC_ENABLE, .data = MISC_FAST_STRING },
			{ .index = MSR_MTRR_DEFAULT, .data = MTRR_ENABLE | MTRR_WRITE_BACK },
		},
	};
	int set = sys_ioctl(fd, KVM_SET_MSRS, &msrs);

	if (set < 0)
		return set;
	return set == 2 ? 0 : -EINVAL;
}

static int set_fpu(int fd)
{
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };

	return sys_ioctl(fd, KVM_SET_FPU, &fpu);
}

static void set_lvt(struct kvm_lapic_state *apic, size_t offset, uint32_t value)
{
	memcpy(apic->regs + offset, &value, sizeof value);
}

/* As the MP table says: the first CPU takes the PIC's interrupts, all take NMIs. */
static int set_local_apic(int fd, unsigned index)
{
	struct kvm_lapic_state apic;
	int r = sys_ioctl(fd, KVM_GET_LAPIC, &apic);

	if (r < 0)
		return r;
	if (index == 0)
		set_lvt(&apic, APIC_LVT_LINT0, APIC_MODE_EXTINT);
	set_lvt(&apic, APIC_LVT_LINT1, APIC_MODE_NMI);
	return sys_ioctl(fd, KVM_SET_LAPIC, &apic);
}

/* 64-bit mode with the tables of boot.c. */
static int set_segments(int fd)
{
	struct kvm_segment code = { .limit = 0xffffffff,
				    .selector = SELECTOR_CODE,
				    .type = 11,
				    .present = 1,
				    .s = 1,
				    .l = 1,
				    .g = 1 };
	struct kvm_segment data = { .limit = 0xffffffff,
				    .selector = SELECTOR_DATA,
				    .type = 3,
				    .present = 1,
				    .s = 1,
				    .db = 1,
				    .g = 1 };
	struct kvm_sregs sregs;
	int r = sys_ioctl(fd, KVM_GET_SREGS, &sregs);

	if (r < 0)
		return r;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt.base = LAYOUT_GDT;
	sregs.gdt.limit = 4 * sizeof(uint64_t) - 1;
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_PG;
	sregs.cr3 = LAYOUT_PML4;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	return sys_ioctl(fd, KVM_SET_SREGS, &sregs);
}

static int set_registers(int fd, uint64_t entry)
{
	struct kvm_regs regs = { .rip = entry, .rsi = LAYOUT_ZERO_PAGE, .rflags = 2 };

	return sys_ioctl(fd, KVM_SET_REGS, &regs);
}

int arch_vcpu_init(const struct arch_cpus *cpus, int vcpu_fd, unsigned index, uint64_t entry,
		   struct error *err)
{
	const char *step = "CPUID";
	int r = set_cpuid(cpus, vcpu_fd, index);

	if (r == 0) {
		step = "model-specific registers";
		r = set_msrs(vcpu_fd);
	}
	if (r == 0) {
		step = "local APIC";
		r = set_local_apic(vcpu_fd, index);
	}
	if (r == 0 && index == 0) { /* the others are woken in real mode by the first one */
		step = "FPU";
		r = set_fpu(vcpu_fd);
		if (r == 0) {
			step = "segments";
			r = set_segments(vcpu_fd);
		}
		if (r == 0) {
			step = "registers";
			r = set_registers(vcpu_fd, entry);
		}
	}
	if (r < 0)
		return error_set(err, r, "vCPU %u: set %s: %s", index, step, sys_text(r));
	return 0;
}

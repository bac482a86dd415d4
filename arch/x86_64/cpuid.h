#pragma once
#include <linux/kvm.h>
#include <stdint.h>

/*
 * The CPUID leaves of one vCPU, from what KVM offers on this host. Passed through as the host has
 * them, except for
 *   topology     1.ebx, 4, 0xb, 0x1f, 0x80000001.ecx, 0x80000008.ecx, 0x8000001d, 0x8000001e:
 *                one package, one thread a core, last cache shared by all
 *   time         0x15 and 0x40000010 say the guest's TSC frequency; the deadline timer is on
 *   masked       performance counters (0xa, 1.ecx PDCM, 1.edx DS, AMD's core and north bridge
 * ones), branch and processor trace (0x14, 0x19, 0x1c), thermal and power (6, but ARAT),
 * MONITOR/MWAIT (5), VMX and SVM (no nested guests), SGX (0x12), RTM and HLE, AMX (0x1d, 0x1e) The
 * hypervisor bit and KVM's own leaves are always there.
 */
enum { CPUID_MAX_ENTRIES = 256 };

struct cpuid_table { /* laid out as struct kvm_cpuid2 */
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[CPUID_MAX_ENTRIES];
};

struct cpuid_facts {
	unsigned vcpu_count;
	uint32_t tsc_khz; /* 0: unknown */
	_Bool deadline_timer;
};

/* Once, for what is the same on all vCPUs. Leaves that are missing are added. */
void cpuid_prepare(struct cpuid_table *table, const struct cpuid_facts *facts);

/* Then for each vCPU, on a table that was prepared. */
void cpuid_set_apic_id(struct cpuid_table *table, uint32_t apic_id);

#include "arch/x86_64/cpuid.h"
#include <criterion/criterion.h>
#include <stdlib.h>

static struct cpuid_table table;

static struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < table.head.nent; i++)
		if (table.entries[i].function == function && table.entries[i].index == index)
			return &table.entries[i];
	cr_assert_fail("leaf %x.%u is missing", function, index);
	abort();
}

static void put(struct kvm_cpuid_entry2 entry)
{
	table.entries[table.head.nent++] = entry;
}

/* What an Intel host with everything would offer. */
static void make(unsigned vcpu_count)
{
	table.head.nent = 0;
	put((struct kvm_cpuid_entry2){ .function = 0, .eax = 0x1f, .ebx = 0x756e6547 });
	put((struct kvm_cpuid_entry2){
	    .function = 1, .ebx = 0xff100800, .ecx = ~0U & ~(1U << 31), .edx = ~0U });
	for (uint32_t i = 0; i < 4; i++)
		put((struct kvm_cpuid_entry2){ .function = 4,
					       .index = i,
					       .eax = 0xfc000000 | (i == 3 ? 3U : 1U + i / 2) << 5 |
						      1 });
	put((struct kvm_cpuid_entry2){ .function = 7, .ebx = ~0U, .edx = ~0U });
	put((struct kvm_cpuid_entry2){ .function = 0xa, .eax = 0x07300404 });
	put((struct kvm_cpuid_entry2){ .function = 0x80000001, .ecx = ~0U });
	put((struct kvm_cpuid_entry2){ .function = 0x80000008, .ecx = ~0U });
	put((struct kvm_cpuid_entry2){ .function = 0x8000001e, .eax = ~0U, .ebx = ~0U });
	put((struct kvm_cpuid_entry2){ .function = 0x40000000, .eax = 0x40000001 });
	put((struct kvm_cpuid_entry2){ .function = 0x40000001, .eax = 0x01007efb });
	cpuid_prepare(&table, &(struct cpuid_facts){ .vcpu_count = vcpu_count,
						     .tsc_khz = 2995200,
						     .deadline_timer = 1 });
}

Test(cpuid, hypervisor_and_timer)
{
	make(1);
	cr_assert(leaf(1, 0)->ecx >> 31);
	cr_assert(leaf(1, 0)->ecx & 1U << 24);
	cr_assert_eq(leaf(0x40000001, 0)->eax, 0x01007efb);
}

Test(cpuid, masked)
{
	make(1);
	cr_assert_eq(leaf(1, 0)->ecx & (1U << 3 | 1U << 5 | 1U << 15), 0);
	cr_assert_eq(leaf(0x80000001, 0)->ecx & 1U << 2, 0);
	cr_assert_eq(leaf(0xa, 0)->eax, 0);
	cr_assert_eq(leaf(7, 0)->ebx & (1U << 2 | 1U << 4 | 1U << 11 | 1U << 25), 0);
	cr_assert(leaf(7, 0)->ebx & 1U << 5); /* AVX2 stays */
}

Test(cpuid, frequency)
{
	const struct kvm_cpuid_entry2 *tsc;

	make(1);
	tsc = leaf(0x15, 0);
	cr_assert_eq((uint64_t)tsc->ecx * tsc->ebx / tsc->eax, 2995200000ULL);
	cr_assert_leq((uint64_t)(tsc->ecx / 1000) * tsc->ebx, UINT32_MAX);
	cr_assert_eq(leaf(0x40000010, 0)->eax, 2995200);
	cr_assert_geq(leaf(0x40000000, 0)->eax, 0x40000010);
}

Test(cpuid, topology)
{
	static const struct {
		unsigned count, bits;
	} cases[] = { { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 }, { 5, 3 }, { 17, 5 }, { 32, 5 } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint32_t ids = (1U << cases[i].bits) - 1;

		make(cases[i].count);
		cpuid_set_apic_id(&table, cases[i].count - 1);
		cr_assert_eq(leaf(1, 0)->ebx >> 24, cases[i].count - 1);
		cr_assert_eq(leaf(1, 0)->ebx >> 16 & 0xff, ids + 1);
		cr_assert_eq(leaf(1, 0)->edx >> 28 & 1, cases[i].count > 1);
		for (uint32_t sub = 0; sub < 3; sub++) {
			cr_assert_eq(leaf(0xb, sub)->edx, cases[i].count - 1);
			cr_assert_eq(leaf(0x1f, sub)->edx, cases[i].count - 1);
		}
		cr_assert_eq(leaf(0xb, 0)->eax, 0); /* one thread a core */
		cr_assert_eq(leaf(0xb, 0)->ecx >> 8, 1);
		cr_assert_eq(leaf(0xb, 1)->eax, cases[i].bits);
		cr_assert_eq(leaf(0xb, 1)->ebx, cases[i].count);
		cr_assert_eq(leaf(0xb, 1)->ecx, 0x201);
		cr_assert_eq(leaf(0xb, 2)->ecx >> 8, 0);
		cr_assert_eq(leaf(4, 0)->eax >> 14 & 0xfff, 0);
		cr_assert_eq(leaf(4, 3)->eax >> 14 & 0xfff, ids);
		cr_assert_eq(leaf(4, 0)->eax >> 26, ids);
		cr_assert_eq(leaf(0x80000008, 0)->ecx & 0xff, cases[i].count - 1);
		cr_assert_eq(leaf(0x80000008, 0)->ecx >> 12 & 0xf, cases[i].bits);
		cr_assert_eq(leaf(0x8000001e, 0)->eax, cases[i].count - 1);
	}
}

Test(cpuid, full_table)
{
	make(1);
	while (table.head.nent < CPUID_MAX_ENTRIES)
		put((struct kvm_cpuid_entry2){ .function = 0x20 });
	leaf(0x15, 0)->function = 0x20;
	cpuid_prepare(&table, &(struct cpuid_facts){ .vcpu_count = 32, .tsc_khz = 1 });
	cr_assert_eq(table.head.nent, CPUID_MAX_ENTRIES);
}

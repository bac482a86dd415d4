#include "arch/x86_64/cpuid.h"

#include <stddef.h>
#include <string.h>

#define BIT(n)           (1U << (n))
#define FIELD(high, low) ((0xffffffffU >> (31 - (high))) & (0xffffffffU << (low)))

enum { EAX, EBX, ECX, EDX };

/* Bits that are taken away wherever the host has them. */
static const struct mask {
	uint32_t leaf, subleaf;
	unsigned reg;
	uint32_t bits;
} masks[] = {
	{ 0x1, 0, ECX, BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(7) | BIT(8) | BIT(10) | BIT(15) },
	{ 0x1, 0, EDX, BIT(21) | BIT(22) | BIT(29) | BIT(31) }, /* DS, ACPI, TM, PBE */
	{ 0x6, 0, EAX, ~BIT(2) },                               /* but ARAT */
	{ 0x6, 0, EBX, ~0U },
	{ 0x6, 0, ECX, ~0U },
	{ 0x7, 0, EBX, BIT(2) | BIT(4) | BIT(11) | BIT(12) | BIT(14) | BIT(15) | BIT(25) },
	{ 0x7, 0, EDX, BIT(19) | BIT(22) | BIT(24) | BIT(25) }, /* LBR, AMX */
	{ 0xd, 0, EAX, BIT(3) | BIT(4) | BIT(17) | BIT(18) },   /* MPX, AMX state */
	{ 0x80000001, 0, ECX, BIT(2) | BIT(10) | BIT(12) | BIT(13) | BIT(23) | BIT(24) | BIT(28) },
};

/* Leaves that say nothing in a guest. */
static const uint32_t cleared[] = { 0x3,        0x5,        0x9,       0xa,  0xf,        0x10,
				    0x12,       0x14,       0x17,      0x18, 0x19,       0x1b,
				    0x1c,       0x1d,       0x1e,      0x23, 0x8000000a, 0x8000001b,
				    0x8000001c, 0x80000020, 0x80000022 };

static uint32_t *reg_of(struct kvm_cpuid_entry2 *entry, unsigned reg)
{
	uint32_t *const regs[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

	return regs[reg];
}

static struct kvm_cpuid_entry2 *find(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < table->head.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &table->entries[i];

		if (entry->function == leaf && entry->index == subleaf)
			return entry;
	}
	return NULL;
}

static struct kvm_cpuid_entry2 *add(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf,
				    uint32_t flags)
{
	struct kvm_cpuid_entry2 *entry = find(table, leaf, subleaf);

	if (!entry) {
		if (table->head.nent == CPUID_MAX_ENTRIES)
			return NULL;
		entry = &table->entries[table->head.nent++];
	}
	*entry = (struct kvm_cpuid_entry2){ .function = leaf, .index = subleaf, .flags = flags };
	return entry;
}

static void set_field(uint32_t *reg, uint32_t field, uint32_t value)
{
	*reg = (*reg & ~field) | ((value << __builtin_ctz(field)) & field);
}

/* Bits an APIC id needs for `count` vCPUs. */
static uint32_t id_bits(unsigned count)
{
	return count <= 1 ? 0 : 32U - (uint32_t)__builtin_clz(count - 1);
}

static void mask_features(struct cpuid_table *table)
{
	for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
		struct kvm_cpuid_entry2 *entry = find(table, masks[i].leaf, masks[i].subleaf);

		if (entry)
			*reg_of(entry, masks[i].reg) &= ~masks[i].bits;
	}
	for (uint32_t i = 0; i < table->head.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &table->entries[i];

		for (size_t j = 0; j < sizeof cleared / sizeof cleared[0]; j++)
			if (entry->function == cleared[j])
				entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
	}
}

/* Leaf 4 (Intel) and 0x8000001d (AMD): how many ids share a cache. Everything up to level 2 is the
 * core's own, the rest is shared by all. */
static void share_caches(struct kvm_cpuid_entry2 *entry, unsigned vcpu_count)
{
	uint32_t level = (entry->eax & FIELD(7, 5)) >> 5;
	uint32_t ids = BIT(id_bits(vcpu_count)) - 1;

	if ((entry->eax & FIELD(4, 0)) == 0)
		return; /* no more caches */
	set_field(&entry->eax, FIELD(25, 14), level <= 2 ? 0 : ids);
	set_field(&entry->eax, FIELD(31, 26), entry->function == 4 ? ids : 0);
}

static void describe_levels(struct cpuid_table *table, uint32_t leaf, unsigned vcpu_count)
{
	struct kvm_cpuid_entry2 *entry;

	entry = add(table, leaf, 0, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	if (entry) {
		entry->ebx = 1;
		entry->ecx = 1U << 8; /* level 0: threads */
	}
	entry = add(table, leaf, 1, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	if (entry) {
		entry->eax = id_bits(vcpu_count);
		entry->ebx = vcpu_count;
		entry->ecx = 2U << 8 | 1; /* level 1: cores */
	}
	entry = add(table, leaf, 2, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	if (entry)
		entry->ecx = 2; /* level 2: no more levels */
}

static void describe_topology(struct cpuid_table *table, unsigned vcpu_count)
{
	struct kvm_cpuid_entry2 *basic = find(table, 0, 0), *entry;

	entry = find(table, 1, 0);
	if (entry) {
		set_field(&entry->ebx, FIELD(15, 8), 8); /* CLFLUSH line: 64 bytes */
		set_field(&entry->ebx, FIELD(23, 16), BIT(id_bits(vcpu_count)));
		set_field(&entry->edx, BIT(28), vcpu_count > 1);
	}
	for (uint32_t i = 0; i < table->head.nent; i++)
		if (table->entries[i].function == 4 || table->entries[i].function == 0x8000001d)
			share_caches(&table->entries[i], vcpu_count);
	if (basic && basic->eax < 0xb)
		basic->eax = 0xb;
	describe_levels(table, 0xb, vcpu_count);
	if (basic && basic->eax >= 0x1f)
		describe_levels(table, 0x1f, vcpu_count);
	entry = find(table, 0x80000001, 0);
	if (entry)
		set_field(&entry->ecx, BIT(1), vcpu_count > 1); /* legacy: more than one core */
	entry = find(table, 0x80000008, 0);
	if (entry) {
		set_field(&entry->ecx, FIELD(7, 0), vcpu_count - 1);
		set_field(&entry->ecx, FIELD(15, 12), id_bits(vcpu_count));
	}
}

static _Bool is_intel(struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *basic = find(table, 0, 0);

	return basic && basic->ebx == 0x756e6547; /* "Genu" */
}

static void describe_time(struct cpuid_table *table, const struct cpuid_facts *facts)
{
	struct kvm_cpuid_entry2 *entry = find(table, 1, 0);

	if (entry)
		set_field(&entry->ecx, BIT(24), facts->deadline_timer);
	if (facts->tsc_khz == 0)
		return;
	if (is_intel(table)) {
		struct kvm_cpuid_entry2 *basic = find(table, 0, 0);

		if (basic && basic->eax < 0x15)
			basic->eax = 0x15;
		entry = add(table, 0x15, 0, 0);
		if (entry) { /* TSC = ecx * ebx / eax, without overflowing 32 bits in kHz */
			entry->eax = 1000;
			entry->ebx = facts->tsc_khz;
			entry->ecx = 1000000;
		}
	}
	entry = find(table, 0x40000000, 0);
	if (entry)
		entry->eax = 0x40000010;
	entry = add(table, 0x40000010, 0, 0);
	if (entry) {
		entry->eax = facts->tsc_khz;
		entry->ebx = 1000000; /* KVM's APIC timer counts nanoseconds */
	}
}

void cpuid_prepare(struct cpuid_table *table, const struct cpuid_facts *facts)
{
	struct kvm_cpuid_entry2 *entry;

	mask_features(table);
	entry = find(table, 1, 0);
	if (entry)
		entry->ecx |= BIT(31); /* a hypervisor is present */
	describe_topology(table, facts->vcpu_count);
	describe_time(table, facts);
}

void cpuid_set_apic_id(struct cpuid_table *table, uint32_t apic_id)
{
	for (uint32_t i = 0; i < table->head.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &table->entries[i];

		switch (entry->function) {
		case 0x1:
			set_field(&entry->ebx, FIELD(31, 24), apic_id);
			break;
		case 0xb:
		case 0x1f:
			entry->edx = apic_id;
			break;
		case 0x8000001e:
			entry->eax = apic_id;
			entry->ebx = apic_id & 0xff; /* core id, one thread */
			entry->ecx = 0;
			break;
		default:
			break;
		}
	}
}

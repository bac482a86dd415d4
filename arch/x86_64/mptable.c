#include "arch/x86_64/mptable.h"
#include "arch/x86_64/layout.h"

#include <string.h>

enum {
	SPEC_1_4 = 4,
	APIC_VERSION = 0x14, /* integrated local APIC */
	ENTRY_PROCESSOR = 0,
	ENTRY_BUS = 1,
	ENTRY_IOAPIC = 2,
	ENTRY_INTERRUPT = 3,
	ENTRY_LOCAL_INTERRUPT = 4,
	CPU_ENABLED = 1,
	CPU_BOOT = 2,
	INTERRUPT_INT = 0,
	INTERRUPT_NMI = 1,
	INTERRUPT_EXTINT = 3,
	LOCAL_APIC_ALL = 0xff,
	MAX_VCPUS = 32,
};

struct mp_pointer { /* section 4.1 */
	char signature[4];
	uint32_t table;
	uint8_t length, revision, checksum, features[5];
} __attribute__((packed));

struct mp_header { /* section 4.2 */
	char signature[4];
	uint16_t length;
	uint8_t revision, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_size, entry_count;
	uint32_t local_apic;
	uint16_t extended_length;
	uint8_t extended_checksum, reserved;
} __attribute__((packed));

struct mp_processor { /* section 4.3.1 */
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
} __attribute__((packed));

struct mp_bus { /* section 4.3.2 */
	uint8_t type, id;
	char name[6];
} __attribute__((packed));

struct mp_ioapic { /* section 4.3.3 */
	uint8_t type, id, version, flags;
	uint32_t address;
} __attribute__((packed));

struct mp_interrupt { /* sections 4.3.4 and 4.3.5 */
	uint8_t type, interrupt;
	uint16_t flags; /* 0: as usual for the bus; for ISA an active high edge */
	uint8_t bus, bus_irq, apic, pin;
} __attribute__((packed));

_Static_assert(sizeof(struct mp_pointer) == MPTABLE_POINTER_SIZE, "MP floating pointer");
_Static_assert(sizeof(struct mp_header) == 44, "MP configuration table header");
_Static_assert(sizeof(struct mp_processor) == 20, "MP processor entry");
_Static_assert(sizeof(struct mp_header) + MAX_VCPUS * sizeof(struct mp_processor) +
		       sizeof(struct mp_bus) + sizeof(struct mp_ioapic) +
		       (LAYOUT_IRQ_END + 2) * sizeof(struct mp_interrupt) <=
		   MPTABLE_MAX_SIZE,
	       "the largest table fits");

struct builder {
	uint8_t *at;
	size_t used;
	uint16_t entries;
};

static void add(struct builder *b, const void *entry, size_t size)
{
	memcpy(b->at + b->used, entry, size);
	b->used += size;
	b->entries++;
}

static uint8_t negated_sum(const void *bytes, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
	return (uint8_t)-sum;
}

static void add_processors(struct builder *b, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		add(b,
		    &(struct mp_processor){
			.type = ENTRY_PROCESSOR,
			.apic_id = (uint8_t)i,
			.apic_version = APIC_VERSION,
			.flags = i == 0 ? CPU_ENABLED | CPU_BOOT : CPU_ENABLED,
			.signature = 0x600,
			.features = 0x201, /* a local APIC and an FPU */
		    },
		    sizeof(struct mp_processor));
}

static void add_pin(struct builder *b, uint8_t ioapic, unsigned pin)
{
	add(b,
	    &(struct mp_interrupt){ .type = ENTRY_INTERRUPT,
				    .interrupt = INTERRUPT_INT,
				    .bus_irq = (uint8_t)pin,
				    .apic = ioapic,
				    .pin = (uint8_t)pin },
	    sizeof(struct mp_interrupt));
}

static void add_interrupts(struct builder *b, uint8_t ioapic, unsigned irq_count)
{
	add_pin(b, ioapic, 0); /* the timer's, without which Linux gives up */
	for (unsigned i = 0; i < irq_count; i++)
		add_pin(b, ioapic, LAYOUT_IRQ_FIRST + i);
	add(b,
	    &(struct mp_interrupt){
		.type = ENTRY_LOCAL_INTERRUPT, .interrupt = INTERRUPT_EXTINT, .apic = 0, .pin = 0 },
	    sizeof(struct mp_interrupt));
	add(b,
	    &(struct mp_interrupt){ .type = ENTRY_LOCAL_INTERRUPT,
				    .interrupt = INTERRUPT_NMI,
				    .apic = LOCAL_APIC_ALL,
				    .pin = 1 },
	    sizeof(struct mp_interrupt));
}

size_t mptable_build(unsigned vcpu_count, unsigned irq_count, uint32_t address,
		     uint8_t table[MPTABLE_MAX_SIZE], uint8_t pointer[MPTABLE_POINTER_SIZE])
{
	struct mp_pointer floating = { .signature = { '_', 'M', 'P', '_' },
				       .table = address,
				       .length = 1, /* in units of 16 bytes */
				       .revision = SPEC_1_4 };
	struct mp_header header = { .signature = { 'P', 'C', 'M', 'P' },
				    .revision = SPEC_1_4,
				    .oem = { 'K', 'A', 'T', 'A', 'V', 'M', ' ', ' ' },
				    .product = "microVM    ",
				    .local_apic = (uint32_t)LAYOUT_LOCAL_APIC };
	uint8_t ioapic = (uint8_t)vcpu_count; /* ids are unique among all APICs */
	struct builder b = { .at = table, .used = sizeof header };

	if (vcpu_count == 0 || vcpu_count > MAX_VCPUS ||
	    irq_count > LAYOUT_IRQ_END - LAYOUT_IRQ_FIRST)
		return 0;
	memset(table, 0, MPTABLE_MAX_SIZE);
	add_processors(&b, vcpu_count);
	add(&b, &(struct mp_bus){ .type = ENTRY_BUS, .name = { 'I', 'S', 'A', ' ', ' ', ' ' } },
	    sizeof(struct mp_bus));
	add(&b,
	    &(struct mp_ioapic){ .type = ENTRY_IOAPIC,
				 .id = ioapic,
				 .version = APIC_VERSION,
				 .flags = 1,
				 .address = (uint32_t)LAYOUT_IOAPIC },
	    sizeof(struct mp_ioapic));
	add_interrupts(&b, ioapic, irq_count);
	header.product[11] = ' ';
	header.length = (uint16_t)b.used;
	header.entry_count = b.entries;
	memcpy(table, &header, sizeof header);
	table[offsetof(struct mp_header, checksum)] = negated_sum(table, b.used);
	floating.checksum = negated_sum(&floating, sizeof floating);
	memcpy(pointer, &floating, sizeof floating);
	return b.used;
}

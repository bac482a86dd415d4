#pragma once
#include <stddef.h>
#include <stdint.h>

/*
 * The Intel MultiProcessor Specification 1.4 tables: how a kernel without ACPI learns of its CPUs
 * and of the I/O APIC. Local APIC ids are 0..vcpu_count-1.
 */
enum { MPTABLE_MAX_SIZE = 0x400, MPTABLE_POINTER_SIZE = 16 };

/* Fills `table`, which will be at guest address `address`, and the floating pointer to it. The pins
 * listed are those of the first irq_count device interrupts: a guest sets up every pin it is told
 * of, at several exits each. Returns the table's size, 0 when a count does not fit. */
size_t mptable_build(unsigned vcpu_count, unsigned irq_count, uint32_t address,
		     uint8_t table[MPTABLE_MAX_SIZE], uint8_t pointer[MPTABLE_POINTER_SIZE]);

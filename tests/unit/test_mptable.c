#include "arch/x86_64/mptable.h"
#include <criterion/criterion.h>
#include <string.h>

static unsigned sum(const uint8_t *bytes, size_t size)
{
	unsigned total = 0;

	for (size_t i = 0; i < size; i++)
		total += bytes[i];
	return total & 0xff;
}

Test(mptable, checksums)
{
	uint8_t table[MPTABLE_MAX_SIZE], pointer[MPTABLE_POINTER_SIZE];

	for (unsigned count = 1; count <= 32; count++) {
		size_t size = mptable_build(count, 19, 0x400, table, pointer);

		cr_assert_gt(size, 44);
		cr_assert_leq(size, MPTABLE_MAX_SIZE);
		cr_assert_eq(sum(table, size), 0);
		cr_assert_eq(sum(pointer, sizeof pointer), 0);
		cr_assert_eq(memcmp(table, "PCMP", 4), 0);
		cr_assert_eq(memcmp(pointer, "_MP_", 4), 0);
		cr_assert_eq(table[4] | table[5] << 8, (int)size);
	}
}

/* Walks the entries as a kernel does: by their types' sizes. */
Test(mptable, entries)
{
	uint8_t table[MPTABLE_MAX_SIZE], pointer[MPTABLE_POINTER_SIZE];
	size_t size = mptable_build(4, 6, 0x400, table, pointer), at = 44;
	unsigned counts[5] = { 0 }, entries = 0;

	while (at < size) {
		uint8_t type = table[at];

		cr_assert_leq(type, 4);
		if (type == 0) {
			cr_assert_eq(table[at + 1], counts[0]); /* ids are 0, 1, 2, 3 */
			cr_assert_eq(table[at + 3], counts[0] == 0 ? 3 : 1);
		}
		counts[type]++;
		entries++;
		at += type == 0 ? 20 : 8;
	}
	cr_assert_eq(at, size);
	cr_assert_eq(table[34] | table[35] << 8, (int)entries);
	cr_assert_eq(counts[0], 4);
	cr_assert_eq(counts[1], 1);
	cr_assert_eq(counts[2], 1);
	cr_assert_eq(counts[3], 1 + 6); /* the timer and the devices */
	cr_assert_eq(counts[4], 2);
}

Test(mptable, limits)
{
	uint8_t table[MPTABLE_MAX_SIZE], pointer[MPTABLE_POINTER_SIZE];

	cr_assert_eq(mptable_build(0, 1, 0x400, table, pointer), 0);
	cr_assert_eq(mptable_build(33, 1, 0x400, table, pointer), 0);
	cr_assert_eq(mptable_build(1, 20, 0x400, table, pointer), 0);
}

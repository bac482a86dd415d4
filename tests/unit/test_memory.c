#include "base/own.h"
#include "base/sys.h"
#include "vmm/memory.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096 };

static struct memory make(enum memory_kind kind, uint64_t size)
{
	struct memory memory = { 0 };
	struct error err = { 0 };

	cr_assert_eq(memory_init(&memory, size, kind, &err), 0, "%s", err.text);
	return memory;
}

Test(memory, is_zero_and_keeps_what_is_written)
{
	for (int kind = MEMORY_PRIVATE; kind <= MEMORY_SHARED; kind++) {
		struct memory memory = make((enum memory_kind)kind, 64 * MIB);
		uint32_t value = 7, wanted = 0x12345678;

		cr_assert_eq(gmem_read(&memory.gmem, (gpa_t){ 63 * MIB }, &value, sizeof value), 0);
		cr_assert_eq(value, 0);
		cr_assert_eq(memory_copy(&memory, (gpa_t){ 5 * MIB - 2 }, &wanted, sizeof wanted),
			     0);
		cr_assert_eq(gmem_read(&memory.gmem, (gpa_t){ 5 * MIB - 2 }, &value, sizeof value),
			     0);
		cr_assert_eq(value, wanted);
		cr_assert_lt(gmem_read(&memory.gmem, (gpa_t){ 64 * MIB - 2 }, &value, sizeof value),
			     0);
		memory_finish(&memory);
	}
}

Test(memory, counts_what_the_guest_touched)
{
	for (int kind = MEMORY_PRIVATE; kind <= MEMORY_SHARED; kind++) {
		struct memory memory = make((enum memory_kind)kind, 64 * MIB);
		uint64_t before = memory_allocated_kib(&memory), after;
		static uint8_t bytes[MIB];

		memset(bytes, 1, sizeof bytes);
		for (unsigned i = 0; i < 8; i++)
			cr_assert_eq(memory_copy(&memory, (gpa_t){ (uint64_t)i * 4 * MIB }, bytes,
						 sizeof bytes),
				     0);
		after = memory_allocated_kib(&memory);
		cr_assert_geq(after - before, 8 * 1024);
		cr_assert_lt(after - before, 8 * 1024 + 2048); /* the test's own bytes */
		memory_finish(&memory);
	}
}

Test(memory, a_file_in_it_is_read_and_never_written)
{
	struct memory memory = make(MEMORY_PRIVATE, 64 * MIB);
	own_fd file = memfd_create("file", MFD_CLOEXEC);
	char page[PAGE], seen[PAGE];

	memset(page, 'f', sizeof page);
	cr_assert_eq(sys_write_all(file, page, sizeof page), 0);
	cr_assert_eq(memory_map_file(&memory, (gpa_t){ MIB }, PAGE, file, 0), 0);
	cr_assert_eq(gmem_read(&memory.gmem, (gpa_t){ MIB }, seen, sizeof seen), 0);
	cr_assert_eq(memcmp(page, seen, sizeof page), 0);
	cr_assert_eq(gmem_write(&memory.gmem, (gpa_t){ MIB }, "guest", 5), 0);
	cr_assert_eq(sys_pread_all(file, seen, sizeof seen, 0), 0);
	cr_assert_eq(memcmp(page, seen, sizeof page), 0);
	cr_assert_lt(memory_map_file(&memory, (gpa_t){ MIB + 1 }, PAGE, file, 0), 0);
	cr_assert_lt(memory_map_file(&memory, (gpa_t){ 64 * MIB }, PAGE, file, 0), 0);
	memory_finish(&memory);
}

static void expect_byte(const struct memory *memory, uint64_t at, uint8_t wanted)
{
	uint8_t seen = 0;

	cr_assert_eq(gmem_get(&memory->gmem, (gpa_t){ at }, &seen), 0);
	cr_assert_eq(seen, wanted, "at 0x%llx: %u", (unsigned long long)at, seen);
}

static void release(const struct memory *memory, uint64_t at, uint64_t size)
{
	struct iovec range;

	cr_assert_eq(gmem_iovec(&memory->gmem, (gpa_t){ at }, size, &range), 0);
	memory_release(memory, &range);
}

Test(memory, gives_whole_pages_back)
{
	for (int kind = MEMORY_PRIVATE; kind <= MEMORY_SHARED; kind++) {
		struct memory memory = make((enum memory_kind)kind, 64 * MIB);
		static uint8_t bytes[4 * MIB];
		uint64_t before;

		memset(bytes, 1, sizeof bytes);
		cr_assert_eq(memory_copy(&memory, (gpa_t){ 8 * MIB }, bytes, sizeof bytes), 0);
		before = memory_allocated_kib(&memory);
		release(&memory, 8 * MIB + 1, 3 * MIB);
		cr_assert_leq(memory_allocated_kib(&memory) + 3 * 1024 - 8, before);
		expect_byte(&memory, 8 * MIB, 1);
		expect_byte(&memory, 8 * MIB + PAGE, 0);
		expect_byte(&memory, 11 * MIB - 1, 0);
		expect_byte(&memory, 11 * MIB, 1); /* the byte of a page that was given in part */
		release(&memory, 20 * MIB + 1, PAGE);
		release(&memory, 20 * MIB + 1, 1);
		release(&memory, 0, 64 * MIB);
		expect_byte(&memory, 8 * MIB, 0);
		memory_finish(&memory);
	}
}

Test(memory, never_gives_a_mapped_file_back)
{
	for (int kind = MEMORY_PRIVATE; kind <= MEMORY_SHARED; kind++) {
		struct memory memory = make((enum memory_kind)kind, 64 * MIB);
		own_fd file = memfd_create("file", MFD_CLOEXEC);
		const uint64_t places[] = { 2 * MIB, 2 * MIB + 8 * PAGE, 62 * MIB };
		uint8_t one = 1;

		cr_assert_eq(ftruncate(file, 4 * PAGE), 0);
		for (size_t i = 0; i < 3; i++) {
			cr_assert_eq(
			    memory_map_file(&memory, (gpa_t){ places[i] }, 4 * PAGE, file, 0), 0);
			cr_assert_eq(gmem_put(&memory.gmem, (gpa_t){ places[i] }, &one), 0);
		}
		for (uint64_t at = MIB; at < 64 * MIB; at += MIB * 61 / 2)
			cr_assert_eq(gmem_put(&memory.gmem, (gpa_t){ at }, &one), 0);
		release(&memory, 0, 64 * MIB);
		for (size_t i = 0; i < 3; i++)
			expect_byte(&memory, places[i],
				    1); /* the guest's own copy is still there */
		expect_byte(&memory, MIB, 0);
		expect_byte(&memory, MIB + MIB * 61 / 2, 0);
		memory_finish(&memory);
	}
}

/* More files than are kept apart: what lies between is kept, too. */
Test(memory, many_files)
{
	struct memory memory = make(MEMORY_PRIVATE, 1024ULL * MIB);
	own_fd file = memfd_create("file", MFD_CLOEXEC);
	uint8_t one = 1;

	cr_assert_eq(ftruncate(file, PAGE), 0);
	for (uint64_t i = 1; i <= MEMORY_MAX_FILES + 4; i++) {
		cr_assert_eq(memory_map_file(&memory, (gpa_t){ i * 32 * MIB }, PAGE, file, 0), 0);
		cr_assert_eq(gmem_put(&memory.gmem, (gpa_t){ i * 32 * MIB }, &one), 0);
	}
	release(&memory, 0, 1024ULL * MIB);
	for (uint64_t i = 1; i <= MEMORY_MAX_FILES + 4; i++)
		expect_byte(&memory, i * 32 * MIB, 1);
	memory_finish(&memory);
}

/* What KVM refuses is no memory of the guest's. */
Test(memory, growth_that_fails_changes_nothing)
{
	for (int kind = MEMORY_PRIVATE; kind <= MEMORY_SHARED; kind++) {
		struct memory memory = make((enum memory_kind)kind, 64 * MIB);
		struct error err = { 0 };
		uint8_t byte;

		memory_allow_more(&memory, 200 * MIB);
		cr_assert_eq(memory.more_limit, 256 * MIB);
		cr_assert_eq(memory.more_start % MEMORY_STEP, 0);
		cr_assert_geq(memory.more_start, 64 * MIB);
		cr_assert_eq(memory_grow(&memory, -1, MEMORY_STEP, &err), -EBADF);
		cr_assert(strstr(err.text, "add 128 MiB"), "%s", err.text);
		cr_assert_eq(memory.more_size, 0);
		cr_assert_eq(gmem_get(&memory.gmem, (gpa_t){ memory.more_start }, &byte), -EFAULT);
		cr_assert_eq(memory_grow(&memory, -1, 0, &err), 0);
		memory_finish(&memory);
	}
}

Test(memory, a_shared_file_is_sealed)
{
	struct memory memory = make(MEMORY_SHARED, 64 * MIB);
	struct error err = { 0 };

	cr_assert_eq(fcntl(memory.fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	cr_assert_lt(ftruncate(memory.fd, MIB), 0);
	memory_allow_more(&memory, 200 * MIB);
	cr_assert_lt(memory_grow(&memory, -1, MEMORY_STEP, &err), 0);
	cr_assert_eq(fcntl(memory.more_fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	cr_assert_eq(lseek(memory.more_fd, 0, SEEK_END), (off_t)memory.more_limit);
	memory_finish(&memory);
}

Test(memory, beyond_the_hole)
{
	struct memory memory = make(MEMORY_PRIVATE, 5ULL << 30);
	char byte;

	cr_assert_eq(memory.range_count, 2);
	cr_assert_lt(gmem_read(&memory.gmem, (gpa_t){ 0xfec00000 }, &byte, 1), 0);
	cr_assert_eq(gmem_read(&memory.gmem, (gpa_t){ (5ULL << 30) }, &byte, 1), 0);
	memory_finish(&memory);
}

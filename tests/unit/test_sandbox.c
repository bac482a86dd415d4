#include "runtime/sandbox.h"
#include <criterion/criterion.h>

#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

Test(sandbox, memory_of_the_vm)
{
	cr_assert_eq(sandbox_vm_mib(64 * MIB), 64 + 40 + 1);
	cr_assert_eq(sandbox_vm_mib(64 * MIB + 1), 65 + 40 + 1);
}

Test(sandbox, without_a_word_it_may_have_what_the_host_has)
{
	cr_assert_eq(sandbox_most_mib(0, 1024 * MIB), 1024 + 40 + 16);
	cr_assert_eq(sandbox_most_mib(128 * MIB, 1024 * MIB), 128 + 40 + 2);
}

/* A host of 12 TiB runs containers, too. */
Test(sandbox, a_large_host_is_no_error)
{
	cr_assert_eq(sandbox_most_mib(0, 4 * TIB), VMM_MAX_MEMORY_MIB);
	cr_assert_eq(sandbox_most_mib(0, 12 * TIB), VMM_MAX_MEMORY_MIB);
}

/* What was asked for and cannot be is left for the VMM to refuse. */
Test(sandbox, what_was_asked_for_is_not_made_less)
{
	cr_assert_gt(sandbox_most_mib(4 * TIB, 12 * TIB), VMM_MAX_MEMORY_MIB);
}

#include "base/error.h"
#include "base/gmem.h"
#include <criterion/criterion.h>
#include <errno.h>

Test(gmem, edges)
{
	struct gmem m = { 0 };
	uint8_t b[16], v[2];

	cr_assert_eq(gmem_add(&m, (gpa_t){ 0x1000 }, b, sizeof b), 0);
	cr_assert_eq(gmem_add(&m, (gpa_t){ 0x100f }, b, sizeof b), -EEXIST);
	cr_assert_eq(gmem_read(&m, (gpa_t){ 0x100e }, v, 2), 0);
	cr_assert_eq(gmem_read(&m, (gpa_t){ 0x100f }, v, 2), -EFAULT);
	cr_assert_eq(gmem_read(&m, (gpa_t){ 0xfff }, v, 2), -EFAULT);
	cr_assert_eq(gmem_read(&m, (gpa_t){ UINT64_MAX }, v, 2), -EFAULT);
}

Test(error, text)
{
	struct error e;

	cr_assert_eq(error_set(&e, -ENOENT, "open kernel %s", "/x"), -ENOENT);
	cr_assert_str_eq(e.text, "open kernel /x");
}

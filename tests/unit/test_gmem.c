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

Test(gmem, a_region_grows)
{
	struct gmem m = { 0 };
	uint8_t b[64], other[16], v[2];

	cr_assert_eq(gmem_add(&m, (gpa_t){ 0x1000 }, b, 16), 0);
	cr_assert_eq(gmem_add(&m, (gpa_t){ 0x1040 }, other, sizeof other), 0);
	cr_assert_eq(gmem_read(&m, (gpa_t){ 0x100f }, v, 2), -EFAULT);
	cr_assert_eq(gmem_grow(&m, (gpa_t){ 0x1000 }, 32), 0);
	cr_assert_eq(gmem_read(&m, (gpa_t){ 0x100f }, v, 2), 0);
	cr_assert_eq(gmem_read(&m, (gpa_t){ 0x101f }, v, 2), -EFAULT);
	cr_assert_eq(gmem_grow(&m, (gpa_t){ 0x1000 }, 16), -EINVAL); /* nothing goes away */
	cr_assert_eq(gmem_grow(&m, (gpa_t){ 0x1000 }, 65), -EEXIST);
	cr_assert_eq(gmem_grow(&m, (gpa_t){ 0x1000 }, SIZE_MAX), -EINVAL);
	cr_assert_eq(gmem_grow(&m, (gpa_t){ 0x2000 }, 16), -EINVAL); /* there is none */
	cr_assert_eq(gmem_read(&m, (gpa_t){ 0x101f }, v, 2), -EFAULT);
}

Test(error, text)
{
	struct error e;

	cr_assert_eq(error_set(&e, -ENOENT, "open kernel %s", "/x"), -ENOENT);
	cr_assert_str_eq(e.text, "open kernel /x");
}

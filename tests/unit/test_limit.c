#include "runtime/limit.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct error err;
static struct limit limit;

Test(limit, amount_and_burst)
{
	cr_assert_eq(limit_parse("network", "rate", "10m", true, &limit, &err), 0);
	cr_assert_eq(limit.amount, 10 << 20);
	cr_assert_eq(limit.burst, 0);
	cr_assert_eq(limit_parse("network", "rate", "1t:1.5k", true, &limit, &err), 0);
	cr_assert_eq(limit.amount, UINT64_C(1) << 40);
	cr_assert_eq(limit.burst, 1536);
	cr_assert_eq(limit_parse("network", "packets", "7:70", false, &limit, &err), 0);
	cr_assert_eq(limit.amount, 7);
	cr_assert_eq(limit.burst, 70);
}

Test(limit, refused)
{
	static const char *const bad[] = { "",      ":", "0",  "1:0", "1:",  ":1", "-1",
					   "1:2:3", "x", "1 ", "1m1", "1;2", "2t", "1:2t" };
	char long_one[200];

	limit.amount = 5;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_assert_eq(limit_parse("disk", "iops", bad[i], false, &limit, &err), -EINVAL,
			     "%s", bad[i]);
		cr_assert_eq(strncmp(err.text, "--disk: iops is ", 16), 0, "%s", err.text);
		cr_assert(strstr(err.text, bad[i]));
	}
	cr_assert_eq(limit_parse("disk", "bps", "2t", true, &limit, &err), -EINVAL);
	memset(long_one, '1', sizeof long_one);
	long_one[sizeof long_one - 1] = '\0';
	cr_assert_eq(limit_parse("disk", "iops", long_one, false, &limit, &err), -EINVAL);
	cr_assert_eq(limit.amount, 5, "a failure changes nothing");
}

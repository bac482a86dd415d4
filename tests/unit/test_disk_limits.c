#include "runtime/disk_limits.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct error err;
static struct vmm_rate rate;

Test(disk_limits, all_of_them)
{
	cr_assert_eq(disk_limits_parse("limit", "iops=1000", &rate, &err), 0);
	cr_assert_eq(rate.operations, 1000);
	cr_assert_eq(rate.bytes, 0);
	cr_assert_eq(disk_limits_parse("limit", "bps=1.5m:10m,iops=7:70", &rate, &err), 0);
	cr_assert_eq(rate.bytes, 3 << 19);
	cr_assert_eq(rate.bytes_burst, 10 << 20);
	cr_assert_eq(rate.operations, 7);
	cr_assert_eq(rate.operations_burst, 70);
}

Test(disk_limits, refused)
{
	static const char *const bad[] = { "",           "iops",         "iops=",    "iops=0",
					   "iops=-1",    "iops=1k",      "bps=fast", "bps=0",
					   "bps=2t",     "iops=1,",      ",iops=1",  "weight=3",
					   "iops=1;2",   "bps=1m:",      "bps=:1m",  "iops=1:0",
					   "iops=1:2:3", "iops=1,iops=2" };
	char long_one[200];

	rate = (struct vmm_rate){ .bytes = 5 };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_assert_eq(disk_limits_parse("limit", bad[i], &rate, &err), -EINVAL, "%s",
			     bad[i]);
		cr_assert_eq(strncmp(err.text, "--limit", 7), 0, "%s", err.text);
	}
	memset(long_one, 'x', sizeof long_one);
	long_one[sizeof long_one - 1] = '\0';
	cr_assert_eq(disk_limits_parse("limit", long_one, &rate, &err), -EINVAL);
	cr_assert_eq(rate.bytes, 5, "a failure changes nothing");
}

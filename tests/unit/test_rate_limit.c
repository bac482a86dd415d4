#include "devices/rate_limit.h"
#include <criterion/criterion.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

static struct rate_limit limit;

static void set(uint64_t bytes, uint64_t bytes_burst, uint64_t operations, uint64_t burst)
{
	memset(&limit, 0, sizeof limit);
	rate_limit_init(&limit,
			&(struct rate_limit_config){ bytes, bytes_burst, operations, burst });
}

/* As a device would: how many requests of this size go until the end. */
static uint64_t run(uint64_t bytes, uint64_t from, uint64_t to)
{
	uint64_t gone = 0;

	for (uint64_t now = from; now < to;) {
		uint64_t wait = rate_limit_take(&limit, bytes, now);

		gone += wait == 0;
		now += wait;
	}
	return gone;
}

Test(rate_limit, none)
{
	set(0, 0, 0, 0);
	cr_assert_not(rate_limit_is_on(&limit));
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(rate_limit_take(&limit, UINT32_MAX, 5), 0);
}

Test(rate_limit, operations)
{
	set(0, 0, 100, 10);
	cr_assert(rate_limit_is_on(&limit));
	cr_assert_eq(run(1 << 20, 50 * S, 51 * S), 110, "burst and a second's refill");
	cr_assert_eq(run(0, 51 * S, 52 * S), 100);
	cr_assert_eq(run(0, 60 * S, 61 * S), 110, "full again, and not fuller");
	cr_assert_gt(limit.delayed, 290);
}

Test(rate_limit, bytes)
{
	set(1000 * 4096, 10 * 4096, 0, 0);
	cr_assert_eq(run(4096, S, 2 * S), 1010);
	cr_assert_eq(run(8192, 2 * S, 3 * S), 500);
}

Test(rate_limit, the_nearer_one_decides)
{
	set(1000 * 512, 512, 100, 1);
	cr_assert_eq(run(512, S, 2 * S), 101);
	set(10 * 512, 512, 100, 1);
	cr_assert_eq(run(512, S, 2 * S), 11);
}

Test(rate_limit, a_request_larger_than_the_burst_goes_and_is_paid_for)
{
	set(1 << 20, 4096, 0, 0);
	cr_assert_eq(rate_limit_take(&limit, 4 << 20, S), 0);
	cr_assert_gt(rate_limit_take(&limit, 1, S), 3990 * MS);
	cr_assert_gt(rate_limit_take(&limit, 1, 4 * S), 0);
	cr_assert_eq(rate_limit_take(&limit, 1, 5 * S), 0);
}

Test(rate_limit, default_burst)
{
	set(0, 0, 1000, 0);
	cr_assert_eq(run(0, S, S + 1), 100);
}

Test(rate_limit, nothing_overflows)
{
	uint64_t wait;

	set(1, 1, UINT64_MAX, UINT64_MAX);
	cr_assert_eq(rate_limit_take(&limit, UINT64_MAX, S), 0);
	wait = rate_limit_take(&limit, UINT64_MAX, S);
	cr_assert_gt(wait, UINT64_C(1) << 60);
	cr_assert_gt(rate_limit_take(&limit, 1, S + 1000 * S), UINT64_C(1) << 60);
	set(UINT64_MAX, UINT64_MAX, 0, 0);
	cr_assert_eq(rate_limit_take(&limit, UINT64_MAX, S), 0);
}

Test(rate_limit, changed_later)
{
	set(0, 0, 1, 1);
	cr_assert_eq(rate_limit_take(&limit, 0, S), 0);
	cr_assert_gt(rate_limit_take(&limit, 0, S), 0);
	rate_limit_init(&limit, &(struct rate_limit_config){ 0 });
	cr_assert_eq(rate_limit_take(&limit, 0, S), 0);
	cr_assert_eq(limit.delayed, 1);
}

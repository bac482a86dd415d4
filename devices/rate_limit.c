/*
 * A bucket is kept as a time instead of a number of tokens: paid_ns is when all that was ever taken
 * is refilled. It is full when that lies in the past, holds burst - (paid_ns - now) in between, and
 * is in debt when it lies further ahead than the burst. Nothing has to run to refill it.
 */
#include "devices/rate_limit.h"

enum { NS_PER_MS = 1000000 };
#define NS_PER_S UINT64_C(1000000000)
#define MAX_RATE (UINT64_C(1) << 40)

#define MAX_NS (UINT64_C(1) << 62) /* a burst and one request beyond it still fit into a word */

/* Rounded up, so that a limit is never exceeded. */
static uint64_t time_of(uint64_t rate, uint64_t tokens)
{
	unsigned __int128 ns = ((unsigned __int128)tokens * NS_PER_S + rate - 1) / rate;

	return ns > MAX_NS ? MAX_NS : (uint64_t)ns;
}

static void bucket_init(struct rate_bucket *bucket, uint64_t rate, uint64_t burst)
{
	*bucket = (struct rate_bucket){ .rate = rate > MAX_RATE ? MAX_RATE : rate };
	if (rate == 0)
		return;
	bucket->burst_ns = burst > 0 ? time_of(bucket->rate, burst)
				     : (uint64_t)RATE_LIMIT_DEFAULT_BURST_MS * NS_PER_MS;
}

void rate_limit_init(struct rate_limit *limit, const struct rate_limit_config *config)
{
	uint64_t delayed = limit->delayed;

	*limit = (struct rate_limit){ .delayed = delayed };
	bucket_init(&limit->bytes, config->bytes_rate, config->bytes_burst);
	bucket_init(&limit->operations, config->operations_rate, config->operations_burst);
}

bool rate_limit_is_on(const struct rate_limit *limit)
{
	return limit->bytes.rate > 0 || limit->operations.rate > 0;
}

/* How long until it is out of debt. */
static uint64_t debt_ns(const struct rate_bucket *bucket, uint64_t now)
{
	uint64_t allowed = now + bucket->burst_ns;

	return bucket->rate == 0 || bucket->paid_ns < allowed ? 0 : bucket->paid_ns - allowed + 1;
}

static void take(struct rate_bucket *bucket, uint64_t tokens, uint64_t now)
{
	if (bucket->rate == 0)
		return;
	if (bucket->paid_ns < now)
		bucket->paid_ns = now;
	bucket->paid_ns += time_of(bucket->rate, tokens);
}

uint64_t rate_limit_take(struct rate_limit *limit, uint64_t bytes, uint64_t now_ns)
{
	uint64_t first = debt_ns(&limit->bytes, now_ns);
	uint64_t second = debt_ns(&limit->operations, now_ns);

	if (first > 0 || second > 0) {
		limit->delayed += !limit->waiting;
		limit->waiting = true;
		return first > second ? first : second;
	}
	limit->waiting = false;
	take(&limit->bytes, bytes, now_ns);
	take(&limit->operations, 1, now_ns);
	return 0;
}

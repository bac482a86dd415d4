#pragma once
#include <stdbool.h>
#include <stdint.h>

/*
 * Token buckets for a device: bytes and operations, each with a rate at which it refills and a
 * burst it can hold. A request goes when neither bucket is in debt, and may put them into debt, so
 * that none is too large to go and what is long over the limit is never more than one request.
 * Plain values, no allocation; one thread. Times are CLOCK_MONOTONIC nanoseconds of the caller.
 */
enum { RATE_LIMIT_DEFAULT_BURST_MS = 100 };

struct rate_limit_config {    /* a rate of 0: no limit */
	uint64_t bytes_rate;  /* per second, at most 2^40 */
	uint64_t bytes_burst; /* 0: what the rate gives in RATE_LIMIT_DEFAULT_BURST_MS */
	uint64_t operations_rate, operations_burst;
};

struct rate_bucket {
	uint64_t rate;     /* tokens per second, 0: no limit */
	uint64_t burst_ns; /* how long the rate takes to fill an empty bucket */
	uint64_t paid_ns;  /* when what was taken until now will have been refilled */
};

struct rate_limit {
	struct rate_bucket bytes, operations;
	uint64_t delayed; /* requests that had to wait; statistics */
	bool waiting;     /* the last answer was to wait */
};

/* Both buckets are full. Also how a limit is changed later. */
void rate_limit_init(struct rate_limit *limit, const struct rate_limit_config *config);
bool rate_limit_is_on(const struct rate_limit *limit);

/* 0: taken, one operation and `bytes`. Else nothing was taken: it is worth asking again in so many
 * nanoseconds (at least 1). */
uint64_t rate_limit_take(struct rate_limit *limit, uint64_t bytes, uint64_t now_ns);

#include "devices/kick_batch.h"
#include <criterion/criterion.h>

/*
 * A driver and a device on one processor, with a clock of their own: the driver takes `submit_ns`
 * to offer a request, has at most `depth` of them, and waits when it cannot go on; the device has
 * whatever it finds done at once.
 */
struct play {
	struct kick_batch batch;
	uint64_t now_ns, deadline_ns;
	unsigned offered; /* and not yet taken */
	uint64_t oldest_ns;
	bool is_waiting;
	uint64_t requests, kicks, timeouts, longest_ns, idle_ns;
};

static struct play play;

static void setup(void)
{
	play = (struct play){ 0 };
	kick_batch_init(&play.batch);
}

TestSuite(kick_batch, .init = setup);

/* All that is offered is done, and the device says when it wants to hear of more. */
static void look(enum kick_batch_look why)
{
	uint64_t lay_ns = play.offered > 0 ? play.now_ns - play.oldest_ns : 0;

	if (lay_ns > play.longest_ns)
		play.longest_ns = lay_ns;
	if (play.is_waiting)
		kick_batch_waited(&play.batch, play.offered, why);
	else
		kick_batch_took(&play.batch, play.offered);
	play.offered = 0;
	play.is_waiting = play.batch.size > 1;
	play.deadline_ns = play.now_ns + KICK_BATCH_WAIT_NS;
}

static void time_out(void)
{
	play.timeouts++;
	look(KICK_BATCH_TIMED_OUT);
}

static void offer(uint64_t submit_ns)
{
	if (play.is_waiting && play.now_ns + submit_ns >= play.deadline_ns)
		time_out();
	play.now_ns += submit_ns;
	if (play.offered++ == 0)
		play.oldest_ns = play.now_ns;
	play.requests++;
	if (!play.is_waiting || play.offered == play.batch.size) {
		play.kicks++;
		look(KICK_BATCH_KICKED);
	}
}

static void work(unsigned depth, uint64_t submit_ns, unsigned requests)
{
	while (requests-- > 0) {
		offer(submit_ns);
		if (play.offered == depth) { /* the driver waits, and so does the clock */
			cr_assert(play.is_waiting, "nobody would come");
			play.idle_ns += play.deadline_ns - play.now_ns;
			play.now_ns = play.deadline_ns;
			time_out();
		}
	}
}

Test(kick_batch, one_at_a_time_is_left_in_peace)
{
	work(1, 20000, 100000);
	cr_assert_leq(play.timeouts, 32);
	cr_assert_geq(play.timeouts, 2, "it was never tried");
	cr_assert_lt(play.idle_ns, play.now_ns / 500, "lost %lu of %lu ns", play.idle_ns,
		     play.now_ns);
}

Test(kick_batch, many_are_kicked_for_together)
{
	work(32, 5000, 100000);
	cr_assert_lt(play.kicks, play.requests / 12);
	cr_assert_eq(play.timeouts, 0);
	cr_assert_eq(play.batch.size, KICK_BATCH_MOST);
}

/* The timer comes before a large batch is full: those that it finds go on, and the next are fewer.
 */
Test(kick_batch, slow_ones_are_kicked_for_together)
{
	work(32, 15000, 100000);
	cr_assert_lt(play.kicks + play.timeouts, play.requests / 3);
	cr_assert_eq(play.idle_ns, 0);
}

Test(kick_batch, batches_fit_every_depth)
{
	for (unsigned depth = 2; depth < 20; depth++) {
		setup();
		work(depth, 5000, 100000);
		cr_assert_lt(play.kicks, play.requests * 2 / 3, "depth %u: %lu", depth, play.kicks);
		cr_assert_lt(play.idle_ns, play.now_ns / 50, "depth %u: lost %lu of %lu ns", depth,
			     play.idle_ns, play.now_ns);
	}
}

Test(kick_batch, one_waits_when_the_depth_falls)
{
	uint64_t timeouts;

	work(32, 5000, 10000);
	timeouts = play.timeouts;
	work(1, 20000, KICK_BATCH_FIRST_TRIAL);
	cr_assert_leq(play.timeouts, timeouts + 2, "the last batch, and one that lay in vain");
	cr_assert_eq(play.batch.size, 1);
	work(32, 5000, 10000);
	cr_assert_eq(play.batch.size, KICK_BATCH_MOST, "it is found out again");
}

Test(kick_batch, nothing_lies_longer_than_the_timer)
{
	unsigned seed = 1;

	for (int i = 0; i < 20000; i++) {
		seed = seed * 1103515245U + 12345U;
		work(1 + (seed >> 16) % 40, 100 + (seed >> 8) % 60000, 1 + (seed >> 20) % 30);
	}
	cr_assert_leq(play.longest_ns, KICK_BATCH_WAIT_NS);
	cr_assert_gt(play.timeouts, 0);
}

/* What one at a time has taught is forgotten when there are several at once. */
Test(kick_batch, a_burst_is_a_reason_to_try)
{
	work(1, 20000, 100000);
	cr_assert_eq(play.batch.trial_after, KICK_BATCH_LAST_TRIAL);
	kick_batch_took(&play.batch, 2);
	cr_assert_eq(play.batch.trial_after, KICK_BATCH_LAST_TRIAL / 2);
	kick_batch_took(&play.batch, 1000);
	cr_assert_eq(play.batch.trial_after, KICK_BATCH_FIRST_TRIAL);
	work(32, 5000, KICK_BATCH_FIRST_TRIAL + 200);
	cr_assert_gt(play.batch.size, 2);
}

Test(kick_batch, kicks_of_before_change_nothing)
{
	work(32, 5000, 10000);
	kick_batch_took(&play.batch, 0);
	for (unsigned count = 0; count < play.batch.size; count++)
		kick_batch_waited(&play.batch, count, KICK_BATCH_KICKED);
	cr_assert_eq(play.batch.size, KICK_BATCH_MOST);
}

/* A driver that sends batches of its own needs none of ours. */
Test(kick_batch, batches_of_the_driver)
{
	for (int i = 0; i < 10000; i++) {
		kick_batch_took(&play.batch, 4);
		kick_batch_took(&play.batch, 1);
	}
	cr_assert_eq(play.batch.size, 1);
}

Test(kick_batch, an_idle_guest_has_no_timer)
{
	work(32, 5000, 10000);
	kick_batch_waited(&play.batch, 0, KICK_BATCH_TIMED_OUT);
	cr_assert_eq(play.batch.size, 1);
}

#include "runtime/watchdog.h"

#include "agent/protocol/agent.pb-c.h"
#include "base/own.h"
#include "base/sys.h"

#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

/* A timer that never fires, except to tell that the clock was set: by somebody, or by the host's
 * kernel after it has slept. */
static int arm(int fd)
{
	const struct itimerspec never = { .it_value = { .tv_sec = INT64_MAX / 2000000000 } };

	return (int)SYS(timerfd_settime, fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
			NULL);
}

static void schedule(struct watchdog *watchdog)
{
	/* the answer has as long as the pause before the question */
	uint64_t pause_ns = (uint64_t)watchdog->limit_seconds * SECOND_NS / 2;

	watchdog->ask_ns = pause_ns ? sys_monotonic_ns() + pause_ns : 0;
}

static void on_answer(void *context, const struct ttrpc_reply *reply)
{
	struct watchdog *watchdog = context;
	char text[120];

	if (watchdog->is_said && reply->response) {
		(void)snprintf(
		    text, sizeof text, "the guest answers again, after %llu seconds",
		    (unsigned long long)((sys_monotonic_ns() - watchdog->asked_ns) / SECOND_NS));
		watchdog->say(watchdog->context, text);
	}
	watchdog->is_said = false;
	watchdog->asked_ns = 0;
	if (reply->error == 0) /* else it is gone, which others tell */
		schedule(watchdog);
}

static void ignore(void *context, const struct ttrpc_reply *reply)
{
	(void)context;
	(void)reply;
}

static bool send_time(struct watchdog *watchdog, bool smooth,
		      void (*answer)(void *context, const struct ttrpc_reply *reply))
{
	Katavm__Agent__V1__SetTimeRequest request = KATAVM__AGENT__V1__SET_TIME_REQUEST__INIT;
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	request.realtime_ns = (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
	request.smooth = smooth;
	return ttrpc_client_call(watchdog->agent, &katavm__agent__v1__agent__descriptor, "SetTime",
				 &request.base, 0, answer, watchdog) == 0;
}

void watchdog_start(struct watchdog *watchdog)
{
	watchdog->clock_fd = (int)SYS(timerfd_create, CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (watchdog->clock_fd >= 0 && arm(watchdog->clock_fd) < 0)
		close_fd(&watchdog->clock_fd);
	schedule(watchdog);
}

void watchdog_finish(struct watchdog *watchdog)
{
	if (watchdog->clock_fd > 0)
		close_fd(&watchdog->clock_fd);
	watchdog->ask_ns = 0;
}

int watchdog_fd(const struct watchdog *watchdog)
{
	return watchdog->clock_fd > 0 ? watchdog->clock_fd : -1;
}

/* When there is something to do next, or 0. */
static uint64_t next_ns(const struct watchdog *watchdog)
{
	if (watchdog->is_said)
		return 0;
	if (watchdog->asked_ns)
		return watchdog->asked_ns + watchdog->limit_seconds * SECOND_NS;
	return watchdog->ask_ns;
}

int watchdog_timeout_ms(const struct watchdog *watchdog)
{
	uint64_t next = next_ns(watchdog), now = next ? sys_monotonic_ns() : 0;

	if (next == 0)
		return -1;
	return next <= now ? 0 : (int)((next - now) / 1000000 + 1);
}

static void look_at_clock(struct watchdog *watchdog)
{
	uint64_t ticks;

	if (watchdog->clock_fd <= 0 ||
	    SYS(read, watchdog->clock_fd, &ticks, sizeof ticks) != -ECANCELED)
		return;
	(void)arm(watchdog->clock_fd); /* first: what is set from here on is told again */
	(void)send_time(watchdog, false, ignore);
}

bool watchdog_process(struct watchdog *watchdog)
{
	char text[120];

	look_at_clock(watchdog);
	if (watchdog_timeout_ms(watchdog) != 0)
		return false;
	if (watchdog->asked_ns == 0) {
		watchdog->ask_ns = 0;
		if (send_time(watchdog, true, on_answer))
			watchdog->asked_ns = sys_monotonic_ns();
		return false;
	}
	watchdog->is_said = true;
	(void)snprintf(text, sizeof text,
		       "the guest has not answered for %u seconds: it hangs, or the host is very "
		       "busy (--watchdog)",
		       watchdog->limit_seconds);
	watchdog->say(watchdog->context, text);
	return true;
}

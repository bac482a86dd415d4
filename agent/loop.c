#include "agent/loop.h"

#include "base/sys.h"
#include <limits.h>
#include <stddef.h>

int loop_init(struct loop *loop)
{
	int fd = (int)SYS(epoll_create1, EPOLL_CLOEXEC);

	if (fd < 0)
		return fd;
	*loop = (struct loop){ .epoll_fd = fd };
	return 0;
}

int loop_watch(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	int r;

	if (watch->added && watch->events == events)
		return 0;
	r = (int)SYS(epoll_ctl, loop->epoll_fd, watch->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		     watch->fd, &event);
	if (r < 0)
		return r;
	watch->added = true;
	watch->events = events;
	return 0;
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
	if (!watch->added)
		return;
	(void)SYS(epoll_ctl, loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->added = false;
}

void loop_set_timer(struct loop *loop, struct timer *timer, unsigned after_ms)
{
	loop_stop_timer(loop, timer);
	timer->at_ns = sys_monotonic_ns() + (uint64_t)after_ms * 1000000;
	timer->next = loop->timers;
	loop->timers = timer;
}

void loop_stop_timer(struct loop *loop, struct timer *timer)
{
	struct timer **slot = &loop->timers;

	while (*slot && *slot != timer)
		slot = &(*slot)->next;
	if (*slot)
		*slot = timer->next;
	timer->at_ns = 0;
}

static struct timer *first_timer(const struct loop *loop)
{
	struct timer *first = loop->timers;

	for (struct timer *timer = first; timer; timer = timer->next)
		if (timer->at_ns < first->at_ns)
			first = timer;
	return first;
}

static int wait_ms(const struct timer *timer)
{
	uint64_t now, ms;

	if (!timer)
		return -1;
	now = sys_monotonic_ns();
	ms = timer->at_ns > now ? (timer->at_ns - now + 999999) / 1000000 : 0;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

int loop_turn(struct loop *loop)
{
	struct timer *timer = first_timer(loop);
	struct epoll_event event;
	int r = (int)SYS_RETRY(epoll_wait, loop->epoll_fd, &event, 1, wait_ms(timer));

	if (r < 0)
		return r;
	if (r > 0) {
		struct watch *watch = event.data.ptr;

		watch->ready(watch, event.events);
		return 0;
	}
	if (timer && timer->at_ns <= sys_monotonic_ns()) {
		loop_stop_timer(loop, timer);
		timer->expired(timer);
	}
	return 0;
}

#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* The agent's one event loop, on epoll, level-triggered. One event is taken at a time, so that a
 * callback may remove and free any watch, its own included. */
struct watch {
	int fd; /* borrowed */
	void (*ready)(struct watch *watch, uint32_t events);
	uint32_t events; /* private to loop.c, as is what follows */
	bool added;
};

struct timer {
	void (*expired)(struct timer *timer);
	uint64_t at_ns; /* private; 0: not set */
	struct timer *next;
};

struct loop {
	int epoll_fd;
	struct timer *timers;
};

int loop_init(struct loop *loop);

/* events 0: only hang-ups and errors are told. Adds the watch when it is not in the loop yet. */
int loop_watch(struct loop *loop, struct watch *watch, uint32_t events);
void loop_unwatch(struct loop *loop, struct watch *watch);

void loop_set_timer(struct loop *loop, struct timer *timer, unsigned after_ms);
void loop_stop_timer(struct loop *loop, struct timer *timer);

/* Waits for one event or timer and delivers it. 0 or -errno. */
int loop_turn(struct loop *loop);

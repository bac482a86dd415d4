#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/bridge_private.h"

#include <stdio.h>
#include <sys/epoll.h>

int bridge_open_events(struct bridge *bridge, struct error *err)
{
	int r = bridge_watch_names(bridge, err);

	if (r == 0)
		r = allow_again_open(&bridge->allowed, &bridge->again, err);
	if (r < 0)
		return r;
	const int fds[] = { bridge->names_fd, bridge->denials.netlink.fd, bridge->again.timer_fd };

	bridge->event_fd = (int)SYS(epoll_create1, EPOLL_CLOEXEC);
	r = bridge->event_fd < 0 ? bridge->event_fd : 0;
	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
		struct epoll_event event = { .events = EPOLLIN };

		if (r == 0 && fds[i] >= 0)
			r = (int)SYS(epoll_ctl, bridge->event_fd, EPOLL_CTL_ADD, fds[i], &event);
	}
	return r < 0 ? error_set(err, r, "watch the network: %s", sys_text(r)) : 0;
}

int bridge_fd(const struct bridge *bridge)
{
	return bridge->event_fd;
}

/* The last `added` of the targets. */
static int allow_more(struct bridge *bridge, size_t added, struct error *err)
{
	const struct allowed *allowed = &bridge->allowed;
	struct rules rules;
	int r = rules_begin(&rules, err);

	if (r < 0)
		return r;
	rules_insert_targets(&rules, &bridge->lease,
			     allowed->targets + allowed->target_count - added, added);
	r = rules_start(&rules, &bridge->run, err);
	if (r == 0)
		r = rules_wait(&bridge->run, err);
	rules_finish(&rules);
	return r;
}

bool bridge_process(struct bridge *bridge, void (*say)(void *context, const char *sentence),
		    void *context)
{
	bool changed = bridge_names_changed(bridge);
	struct error err;
	size_t added = 0;

	if (bridge->denials.netlink.fd >= 0)
		denials_read(&bridge->denials, say, context);
	if (bridge->again.timer_fd >= 0)
		added = allow_again_process(&bridge->again, &bridge->allowed);
	if (added && allow_more(bridge, added, &err) < 0)
		say(context, err.text); /* the guest will find them denied */
	return changed || added;
}

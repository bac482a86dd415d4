#pragma once
#include "base/error.h"
#include "base/netlink.h"
#include "runtime/net/net.h"

/*
 * A network namespace that somebody else has made and filled, as CNI plugins, Docker and
 * `ip netns` do. What is in it is carried into the guest: each Ethernet interface that is up
 * becomes one of the guest's, with its name, hardware address, MTU, addresses, routes and permanent
 * neighbours. A tap beside it in the namespace is joined to it by traffic control: what comes in at
 * one goes out at the other, and the namespace's own stack sees nothing of it.
 */

#define NETNS_PREFIX "ns:" /* --network ns:PATH */

/* Runs function(argument), which answers 0 or -errno, on a thread that is in the namespace. What it
 * opens there (a netlink socket, a tap) stays in that namespace. `step` names it in the error;
 * NULL: it has said itself what went wrong. */
int netns_run(int ns_fd, int (*function)(void *argument), void *argument, const char *step,
	      struct error *err);

/* A socket for rtnetlink in the namespace; the caller closes netlink->fd. */
int netns_netlink(int ns_fd, struct netlink *out, struct error *err);

/* Everything there is, added to *net. The taps are net's, as its other descriptors are; the rest is
 * in arena. -ENODEV: there is nothing but loopback. -EBUSY: another sandbox has this namespace. */
int netns_carry(int ns_fd, unsigned queue_count, struct arena *arena, struct net *net,
		struct error *err);
/* The same for a path: /run/netns/NAME, /proc/PID/ns/net. -EINVAL: no network namespace. */
int netns_carry_path(const char *path, unsigned queue_count, struct arena *arena, struct net *net,
		     struct error *err);

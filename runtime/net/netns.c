/* Being in another namespace for a moment, and joining two interfaces there. */
#include "runtime/net/netns.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/netns_private.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

struct visit {
	int ns_fd;
	int (*function)(void *argument);
	void *argument;
	int entered, result;
};

/* setns moves the calling thread alone; this one ends there. */
static void *enter(void *argument)
{
	struct visit *visit = argument;

	visit->entered = (int)SYS(setns, visit->ns_fd, CLONE_NEWNET);
	if (visit->entered == 0)
		visit->result = visit->function(visit->argument);
	return NULL;
}

int netns_run(int ns_fd, int (*function)(void *argument), void *argument, const char *step,
	      struct error *err)
{
	struct visit visit = { .ns_fd = ns_fd, .function = function, .argument = argument };
	pthread_t thread;
	int r = -pthread_create(&thread, NULL, enter, &visit);

	if (r < 0)
		return error_set(err, r, "network namespace: start a thread: %s", sys_text(r));
	(void)pthread_join(thread, NULL);
	if (visit.entered < 0)
		return error_set(err, visit.entered, "enter the network namespace: %s",
				 sys_text(visit.entered));
	if (visit.result < 0 && step)
		return error_set(err, visit.result, "%s: %s", step, sys_text(visit.result));
	return visit.result;
}

static int open_route(void *argument)
{
	return netlink_open(NETLINK_ROUTE, argument);
}

int netns_netlink(int ns_fd, struct netlink *out, struct error *err)
{
	return netns_run(ns_fd, open_route, out, "network namespace: netlink", err);
}

/* ---- joining ---- */

enum { FILTER_PRIORITY = 0x6b76 };

static struct tcmsg at_ingress(int index)
{
	return (struct tcmsg){ .tcm_family = AF_UNSPEC,
			       .tcm_ifindex = index,
			       .tcm_parent = TC_H_MAJ(TC_H_INGRESS),
			       .tcm_info =
				   TC_H_MAKE((uint32_t)FILTER_PRIORITY << 16, htons(ETH_P_ALL)) };
}

/* Our filter of an earlier sandbox, whose tap is gone, may still be there. */
static int add_ingress(struct netlink *netlink, int index)
{
	const struct tcmsg queue = { .tcm_family = AF_UNSPEC,
				     .tcm_ifindex = index,
				     .tcm_handle = TC_H_MAJ(TC_H_INGRESS),
				     .tcm_parent = TC_H_INGRESS };
	const struct tcmsg filter = at_ingress(index);
	struct netlink_message message;
	int r;

	netlink_begin(&message, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &queue, sizeof queue);
	netlink_put_text(&message, TCA_KIND, "ingress");
	r = netlink_request(netlink, &message);
	if (r != -EEXIST)
		return r;
	netlink_begin(&message, RTM_DELTFILTER, 0, &filter, sizeof filter);
	r = netlink_request(netlink, &message);
	return r == -ENOENT ? 0 : r;
}

/* Everything that comes in at `from` goes out at `to`, and nowhere else. */
static int redirect(struct netlink *netlink, int from, int to)
{
	const struct tcmsg filter = at_ingress(from);
	const struct tc_mirred mirred = { .action = TC_ACT_STOLEN,
					  .eaction = TCA_EGRESS_REDIR,
					  .ifindex = (uint32_t)to };
	struct netlink_message message;
	size_t options, actions, action, inner;

	netlink_begin(&message, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &filter, sizeof filter);
	netlink_put_text(&message, TCA_KIND, "matchall");
	options = netlink_nest(&message, TCA_OPTIONS);
	actions = netlink_nest(&message, TCA_MATCHALL_ACT);
	action = netlink_nest(&message, 1);
	netlink_put_text(&message, TCA_ACT_KIND, "mirred");
	inner = netlink_nest(&message, TCA_ACT_OPTIONS);
	netlink_put(&message, TCA_MIRRED_PARMS, &mirred, sizeof mirred);
	netlink_nest_end(&message, inner);
	netlink_nest_end(&message, action);
	netlink_nest_end(&message, actions);
	netlink_nest_end(&message, options);
	return netlink_request(netlink, &message);
}

int netns_join(struct netlink *netlink, int one, int other)
{
	int r = add_ingress(netlink, one);

	if (r == 0)
		r = add_ingress(netlink, other);
	if (r == 0)
		r = redirect(netlink, one, other);
	if (r == 0)
		r = redirect(netlink, other, one);
	return r;
}

/* Without an address of its own, not even one the kernel would make of its hardware address. */
int netns_raise_tap(struct netlink *netlink, int index, uint32_t mtu)
{
	const uint8_t none = IN6_ADDR_GEN_MODE_NONE;
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	struct netlink_message message;
	size_t families, family;

	netlink_begin(&message, RTM_NEWLINK, 0, &link, sizeof link);
	families = netlink_nest(&message, IFLA_AF_SPEC);
	family = netlink_nest(&message, AF_INET6);
	netlink_put(&message, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
	netlink_nest_end(&message, family);
	netlink_nest_end(&message, families);
	/* a host without IPv6 makes no such address, and refuses to speak of it */
	(void)netlink_request(netlink, &message);

	link.ifi_flags = link.ifi_change = IFF_UP;
	netlink_begin(&message, RTM_NEWLINK, 0, &link, sizeof link);
	netlink_put_u32(&message, IFLA_MTU, mtu);
	return netlink_request(netlink, &message);
}

/*
 * The guest's interfaces, by rtnetlink, as the host decided: nothing is asked of the network, so
 * they are usable the moment this returns. Interfaces are told apart by their hardware addresses,
 * because the order in which a kernel finds them is nobody's promise.
 */
#include "agent/network.h"

#include "base/netlink.h"
#include "base/own.h"
#include "base/sys.h"
#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { MAC_SIZE = 6 };

int network_raise_loopback(void)
{
	own_fd fd = (int)SYS(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_flags = IFF_UP };

	if (fd < 0)
		return fd;
	memcpy(request.ifr_name, "lo", sizeof "lo");
	return sys_ioctl(fd, SIOCSIFFLAGS, &request);
}

static uint8_t family_of(const ProtobufCBinaryData *ip)
{
	return ip->len == 4 ? AF_INET : AF_INET6;
}

struct search {
	const uint8_t *mac;
	int index; /* 0: not found */
};

static int match_mac(void *context, uint16_t type, const void *header, const void *attributes,
		     size_t size)
{
	struct search *search = context;
	struct netlink_attribute address;
	struct ifinfomsg link;

	memcpy(&link, header, sizeof link);
	if (type == RTM_NEWLINK && netlink_find(attributes, size, IFLA_ADDRESS, &address) &&
	    address.size == MAC_SIZE && memcmp(address.data, search->mac, MAC_SIZE) == 0)
		search->index = link.ifi_index;
	return 0;
}

/* The index of the interface with this hardware address, or -ENODEV. */
static int find_link(struct netlink *netlink, const message_interface *wanted)
{
	const struct ifinfomsg any = { .ifi_family = AF_UNSPEC };
	struct search search = { .mac = wanted->mac.data };
	struct netlink_message message;
	int r;

	netlink_begin(&message, RTM_GETLINK, NLM_F_DUMP, &any, sizeof any);
	r = netlink_ask(netlink, &message, sizeof any, match_mac, &search);
	if (r < 0)
		return r;
	return search.index ? search.index : -ENODEV;
}

/* A name can be given to an interface that is down only, so this is before it is raised. */
static int set_link(struct netlink *netlink, int index, const message_interface *wanted)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	struct netlink_message message;
	int r = 0;

	if (*wanted->name || wanted->mtu) {
		netlink_begin(&message, RTM_NEWLINK, 0, &link, sizeof link);
		if (*wanted->name)
			netlink_put_text(&message, IFLA_IFNAME, wanted->name);
		if (wanted->mtu)
			netlink_put_u32(&message, IFLA_MTU, wanted->mtu);
		r = netlink_request(netlink, &message);
	}
	if (r < 0)
		return r;
	link.ifi_flags = IFF_UP;
	link.ifi_change = IFF_UP;
	netlink_begin(&message, RTM_NEWLINK, 0, &link, sizeof link);
	return netlink_request(netlink, &message);
}

static int add_address(struct netlink *netlink, int index, const message_address *wanted)
{
	const struct ifaddrmsg head = {
		.ifa_family = family_of(&wanted->ip),
		.ifa_prefixlen = (uint8_t)wanted->prefix,
		/* the host has seen to it that nobody else has it */
		.ifa_flags = wanted->ip.len == 16 ? IFA_F_NODAD : 0,
		.ifa_index = (uint32_t)index,
	};
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head);
	netlink_put(&message, IFA_LOCAL, wanted->ip.data, wanted->ip.len);
	netlink_put(&message, IFA_ADDRESS, wanted->ip.data, wanted->ip.len);
	if (wanted->ip.len == 4 && wanted->prefix < 31) {
		uint32_t mask = wanted->prefix ? UINT32_MAX << (32 - wanted->prefix) : 0, address;

		memcpy(&address, wanted->ip.data, sizeof address);
		address |= htonl(~mask);
		netlink_put_u32(&message, IFA_BROADCAST, address);
	}
	return netlink_request(netlink, &message);
}

static int add_route(struct netlink *netlink, int index, const message_route *wanted)
{
	const struct rtmsg head = {
		.rtm_family =
		    family_of(wanted->destination.len ? &wanted->destination : &wanted->gateway),
		.rtm_dst_len = (uint8_t)wanted->prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = wanted->gateway.len ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = wanted->onlink ? RTNH_F_ONLINK : 0,
	};
	struct netlink_message message;
	size_t metrics;

	netlink_begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head);
	netlink_put_u32(&message, RTA_OIF, (uint32_t)index);
	if (wanted->destination.len)
		netlink_put(&message, RTA_DST, wanted->destination.data, wanted->destination.len);
	if (wanted->gateway.len)
		netlink_put(&message, RTA_GATEWAY, wanted->gateway.data, wanted->gateway.len);
	if (wanted->source.len)
		netlink_put(&message, RTA_PREFSRC, wanted->source.data, wanted->source.len);
	if (wanted->metric)
		netlink_put_u32(&message, RTA_PRIORITY, wanted->metric);
	if (wanted->mtu) {
		metrics = netlink_nest(&message, RTA_METRICS);
		netlink_put_u32(&message, RTAX_MTU, wanted->mtu);
		netlink_nest_end(&message, metrics);
	}
	return netlink_request(netlink, &message);
}

static int add_neighbour(struct netlink *netlink, int index, const message_neighbour *wanted)
{
	const struct ndmsg head = {
		.ndm_family = family_of(&wanted->ip),
		.ndm_ifindex = index,
		.ndm_state = NUD_PERMANENT,
	};
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head);
	netlink_put(&message, NDA_DST, wanted->ip.data, wanted->ip.len);
	netlink_put(&message, NDA_LLADDR, wanted->mac.data, wanted->mac.len);
	return netlink_request(netlink, &message);
}

static int fail(struct error *err, int r, const message_interface *wanted, const char *step)
{
	const uint8_t *mac = wanted->mac.data;

	return error_set(err, r, "interface %s (%02x:%02x:%02x:%02x:%02x:%02x): %s: %s",
			 wanted->name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], step,
			 sys_text(r));
}

static int raise_one(struct netlink *netlink, const message_interface *wanted, int *out_index,
		     struct error *err)
{
	int index = find_link(netlink, wanted);
	int r = index < 0 ? index : 0;

	if (r < 0)
		return fail(err, r, wanted, "find it");
	r = set_link(netlink, index, wanted);
	if (r < 0)
		return fail(err, r, wanted, "raise it");
	for (size_t i = 0; r == 0 && i < wanted->n_addresses; i++)
		r = add_address(netlink, index, wanted->addresses[i]);
	if (r < 0)
		return fail(err, r, wanted, "add an address");
	*out_index = index;
	return 0;
}

static int connect_one(struct netlink *netlink, int index, const message_interface *wanted,
		       struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < wanted->n_neighbours; i++)
		r = add_neighbour(netlink, index, wanted->neighbours[i]);
	if (r < 0)
		return fail(err, r, wanted, "add a neighbour");
	for (size_t i = 0; r == 0 && i < wanted->n_routes; i++)
		r = add_route(netlink, index, wanted->routes[i]);
	return r < 0 ? fail(err, r, wanted, "add a route") : 0;
}

int network_set_up(message_interface *const *interfaces, size_t count, struct error *err)
{
	int indices[NETWORK_MAX_INTERFACES];
	own_netlink netlink = NETLINK_CLOSED;
	int r;

	if (count == 0)
		return 0;
	if (count > NETWORK_MAX_INTERFACES)
		return error_set(err, -E2BIG, "more than %d interfaces", NETWORK_MAX_INTERFACES);
	r = netlink_open(NETLINK_ROUTE, &netlink);
	if (r < 0)
		return error_set(err, r, "open a netlink socket: %s", sys_text(r));
	for (size_t i = 0; r == 0 && i < count; i++)
		r = raise_one(&netlink, interfaces[i], &indices[i], err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = connect_one(&netlink, indices[i], interfaces[i], err);
	return r;
}

/*
 * What is in a network namespace, read by rtnetlink: first its interfaces, then, for each of those
 * that are carried, a tap beside it, and then addresses, routes and neighbours, which say whose
 * they are by the interface's index.
 */
#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/link.h"
#include "runtime/net/netns.h"
#include "runtime/net/netns_private.h"
#include "runtime/net/resolver.h"
#include "runtime/net/tap.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/magic.h>
#include <linux/neighbour.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { MAX_ENTRIES = 256 }; /* of one kind, for one interface */

struct carry {
	struct arena *arena;
	struct net *net;
	size_t first;                    /* in net->interfaces */
	int indices[NET_MAX_INTERFACES]; /* in the namespace, of net->interfaces[first + i] */
	bool with_gateway;               /* routes: which are added in this pass */
	struct error *err;
};

static struct net_interface *find(const struct carry *carry, int index)
{
	for (size_t i = carry->first; i < carry->net->interface_count; i++)
		if (carry->indices[i - carry->first] == index)
			return &carry->net->interfaces[i];
	return NULL;
}

/* One more element of a list in the arena. The lists are short. */
static void *grow(struct arena *arena, void *list, size_t count, size_t size)
{
	char *larger = arena_alloc(arena, (count + 1) * size);

	if (count > 0)
		memcpy(larger, list, count * size);
	return larger;
}

static int too_many(const struct carry *carry, const struct net_interface *one, const char *what)
{
	return error_set(carry->err, -E2BIG, "interface %s: more than %d %s", one->name,
			 MAX_ENTRIES, what);
}

static bool read_ip(const void *attributes, size_t size, uint16_t type, struct ip *out)
{
	struct netlink_attribute found;

	if (!netlink_find(attributes, size, type, &found) || (found.size != 4 && found.size != 16))
		return false;
	*out = (struct ip){ .size = (uint8_t)found.size };
	memcpy(out->bytes, found.data, found.size);
	return true;
}

static bool read_u32(const void *attributes, size_t size, uint16_t type, uint32_t *out)
{
	struct netlink_attribute found;

	if (!netlink_find(attributes, size, type, &found) || found.size != sizeof *out)
		return false;
	memcpy(out, found.data, sizeof *out);
	return true;
}

/* The kernel of the guest makes its own, of the same hardware address. */
static bool is_link_local(const struct ip *ip)
{
	return ip->size == 16 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

/* ---- interfaces ---- */

static bool has_kind(const void *attributes, size_t size, const char *kind)
{
	struct netlink_attribute info, name;

	return netlink_find(attributes, size, IFLA_LINKINFO, &info) &&
	       netlink_find(info.data, info.size, IFLA_INFO_KIND, &name) &&
	       name.size >= strlen(kind) && memcmp(name.data, kind, strlen(kind)) == 0 &&
	       (name.size == strlen(kind) || ((const char *)name.data)[strlen(kind)] == 0);
}

/* Ethernet, up, and nobody's port: a bridge in the namespace stays there with its ports. */
static bool is_carried(const struct ifinfomsg *link, const void *attributes, size_t size)
{
	uint32_t master;

	return link->ifi_type == ARPHRD_ETHER && (link->ifi_flags & IFF_UP) &&
	       !(link->ifi_flags & IFF_LOOPBACK) &&
	       !read_u32(attributes, size, IFLA_MASTER, &master) &&
	       !has_kind(attributes, size, "bridge");
}

static int refuse(const struct carry *carry, const char *name, const char *why)
{
	return error_set(carry->err, -EOPNOTSUPP, "interface %.20s of the network namespace: %s",
			 name, why);
}

static int read_link(void *context, uint16_t type, const void *header, const void *attributes,
		     size_t size)
{
	struct carry *carry = context;
	struct net_interface *one = &carry->net->interfaces[carry->net->interface_count];
	struct netlink_attribute name, mac;
	struct ifinfomsg link;

	memcpy(&link, header, sizeof link);
	if (type != RTM_NEWLINK || !is_carried(&link, attributes, size) ||
	    !netlink_find(attributes, size, IFLA_IFNAME, &name) || name.size > sizeof one->name ||
	    !netlink_find(attributes, size, IFLA_ADDRESS, &mac) || mac.size != IP_MAC_SIZE)
		return 0;
	if (carry->net->interface_count == NET_MAX_INTERFACES)
		return error_set(carry->err, -E2BIG, "more than %d network interfaces",
				 NET_MAX_INTERFACES);
	if (link.ifi_flags & IFF_NOARP)
		return refuse(carry, name.data,
			      "it knows no hardware addresses (ipvlan in mode l3)");
	*one = (struct net_interface){ .mtu = 1500 };
	memcpy(one->name, name.data, name.size);
	one->name[sizeof one->name - 1] = 0;
	memcpy(one->mac, mac.data, IP_MAC_SIZE);
	(void)read_u32(attributes, size, IFLA_MTU, &one->mtu);
	carry->indices[carry->net->interface_count++ - carry->first] = link.ifi_index;
	return 0;
}

/* ---- what belongs to them ---- */

static int read_address(void *context, uint16_t type, const void *header, const void *attributes,
			size_t size)
{
	struct carry *carry = context;
	struct net_interface *one;
	struct ifaddrmsg address;
	struct ip ip;

	memcpy(&address, header, sizeof address);
	one = find(carry, (int)address.ifa_index);
	if (type != RTM_NEWADDR || !one ||
	    (!read_ip(attributes, size, IFA_LOCAL, &ip) &&
	     !read_ip(attributes, size, IFA_ADDRESS, &ip)) ||
	    is_link_local(&ip))
		return 0;
	if (one->address_count == MAX_ENTRIES)
		return too_many(carry, one, "addresses");
	one->addresses =
	    grow(carry->arena, one->addresses, one->address_count, sizeof *one->addresses);
	one->addresses[one->address_count++] =
	    (struct ip_prefix){ .ip = ip, .length = address.ifa_prefixlen };
	return 0;
}

/* Routes to an interface's own networks come with its addresses. */
static bool is_route_carried(const struct rtmsg *route)
{
	return route->rtm_table == RT_TABLE_MAIN && route->rtm_type == RTN_UNICAST &&
	       route->rtm_protocol != RTPROT_KERNEL && !(route->rtm_flags & RTM_F_CLONED);
}

/* On a network of the interface's own. A route through any other gateway has found its way into the
 * namespace, and so it does into the guest. */
static bool is_near(const struct net_interface *one, const struct ip *gateway)
{
	for (size_t i = 0; i < one->address_count; i++)
		if (ip_within(gateway, &one->addresses[i]))
			return true;
	return is_link_local(gateway);
}

static int read_route(void *context, uint16_t type, const void *header, const void *attributes,
		      size_t size)
{
	struct carry *carry = context;
	struct net_route read = { 0 };
	struct netlink_attribute metrics, other;
	struct net_interface *one;
	struct rtmsg route;
	uint32_t index;

	memcpy(&route, header, sizeof route);
	if (type != RTM_NEWROUTE || !is_route_carried(&route))
		return 0;
	if (netlink_find(attributes, size, RTA_MULTIPATH, &other) ||
	    netlink_find(attributes, size, RTA_VIA, &other))
		return error_set(carry->err, -EOPNOTSUPP,
				 "the network namespace has a route with several gateways, or one "
				 "through a gateway of another kind");
	if (!read_u32(attributes, size, RTA_OIF, &index))
		return 0;
	one = find(carry, (int)index);
	read.destination = (struct ip_prefix){ .ip.size = route.rtm_family == AF_INET ? 4 : 16,
					       .length = route.rtm_dst_len };
	(void)read_ip(attributes, size, RTA_DST, &read.destination.ip);
	if (!one || is_link_local(&read.destination.ip) ||
	    read_ip(attributes, size, RTA_GATEWAY, &read.gateway) != carry->with_gateway)
		return 0;
	(void)read_ip(attributes, size, RTA_PREFSRC, &read.source);
	(void)read_u32(attributes, size, RTA_PRIORITY, &read.metric);
	if (netlink_find(attributes, size, RTA_METRICS, &metrics))
		(void)read_u32(metrics.data, metrics.size, RTAX_MTU, &read.mtu);
	read.onlink = (route.rtm_flags & RTNH_F_ONLINK) ||
		      (carry->with_gateway && !is_near(one, &read.gateway));
	if (one->route_count == MAX_ENTRIES)
		return too_many(carry, one, "routes");
	one->routes = grow(carry->arena, one->routes, one->route_count, sizeof *one->routes);
	one->routes[one->route_count++] = read;
	return 0;
}

static int read_neighbour(void *context, uint16_t type, const void *header, const void *attributes,
			  size_t size)
{
	struct carry *carry = context;
	struct net_neighbour read;
	struct netlink_attribute mac;
	struct net_interface *one;
	struct ndmsg neighbour;

	memcpy(&neighbour, header, sizeof neighbour);
	one = find(carry, neighbour.ndm_ifindex);
	if (type != RTM_NEWNEIGH || !one || !(neighbour.ndm_state & NUD_PERMANENT) ||
	    (neighbour.ndm_flags & NTF_PROXY) || !read_ip(attributes, size, NDA_DST, &read.ip) ||
	    !netlink_find(attributes, size, NDA_LLADDR, &mac) || mac.size != IP_MAC_SIZE)
		return 0;
	memcpy(read.mac, mac.data, IP_MAC_SIZE);
	if (one->neighbour_count == MAX_ENTRIES)
		return too_many(carry, one, "neighbours");
	one->neighbours =
	    grow(carry->arena, one->neighbours, one->neighbour_count, sizeof *one->neighbours);
	one->neighbours[one->neighbour_count++] = read;
	return 0;
}

static int dump(struct netlink *netlink, struct carry *carry, uint16_t type, const void *header,
		size_t size, netlink_reader *reader)
{
	struct netlink_message message;
	int r;

	carry->err->text[0] = 0;
	netlink_begin(&message, type, NLM_F_DUMP, header, size);
	r = netlink_ask(netlink, &message, size, reader, carry);
	if (r < 0 && !carry->err->text[0])
		return error_set(carry->err, r, "look into the network namespace: %s", sys_text(r));
	return r;
}

static int read_all(struct netlink *netlink, struct carry *carry)
{
	const struct ifaddrmsg addresses = { .ifa_family = AF_UNSPEC };
	const struct rtmsg routes = { .rtm_family = AF_UNSPEC };
	const struct ndmsg neighbours = { .ndm_family = AF_UNSPEC };
	int r = dump(netlink, carry, RTM_GETADDR, &addresses, sizeof addresses, read_address);

	/* a gateway must be reachable when its route is added */
	for (int pass = 0; r == 0 && pass < 2; pass++) {
		carry->with_gateway = pass == 1;
		r = dump(netlink, carry, RTM_GETROUTE, &routes, sizeof routes, read_route);
	}
	if (r == 0)
		r = dump(netlink, carry, RTM_GETNEIGH, &neighbours, sizeof neighbours,
			 read_neighbour);
	return r;
}

struct tap_wish {
	char name[IF_NAMESIZE];
	unsigned queue_count;
	int *fds;
	struct error *err;
};

static int open_tap(void *argument)
{
	struct tap_wish *wish = argument;
	char name[IF_NAMESIZE];

	return tap_open(wish->name, wish->queue_count, wish->fds, name, wish->err);
}

/* A tap beside interface number i, which takes its place. */
static int join(int ns_fd, struct netlink *netlink, unsigned queue_count, struct carry *carry,
		size_t i)
{
	struct net_interface *one = &carry->net->interfaces[carry->first + i];
	struct tap_wish wish = { .queue_count = queue_count,
				 .fds = one->tap_fds,
				 .err = carry->err };
	int tap, r;

	(void)snprintf(wish.name, sizeof wish.name, "katavm%d", carry->indices[i]);
	if (link_index(netlink, wish.name) >= 0)
		return error_set(carry->err, -EBUSY,
				 "another sandbox has interface %s of this network namespace",
				 one->name);
	r = netns_run(ns_fd, open_tap, &wish, NULL, carry->err);
	if (r < 0)
		return r;
	one->queue_count = queue_count;
	tap = link_index(netlink, wish.name);
	r = tap < 0 ? tap : netns_raise_tap(netlink, tap, one->mtu);
	if (r < 0)
		return error_set(carry->err, r, "raise the tap of interface %s: %s", one->name,
				 sys_text(r));
	r = netns_join(netlink, carry->indices[i], tap);
	if (r < 0)
		return error_set(carry->err, r, "join interface %s and its tap: %s", one->name,
				 sys_text(r));
	return 0;
}

static int carry_all(int ns_fd, struct netlink *netlink, unsigned queue_count, struct carry *carry)
{
	const struct ifinfomsg any = { .ifi_family = AF_UNSPEC };
	int r = dump(netlink, carry, RTM_GETLINK, &any, sizeof any, read_link);
	size_t count = carry->net->interface_count - carry->first;

	if (r == 0 && count == 0)
		r = error_set(carry->err, -ENODEV,
			      "the network namespace has no interface that is up");
	if (r == 0)
		r = read_all(netlink, carry);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = join(ns_fd, netlink, queue_count, carry, i);
	return r;
}

int netns_carry(int ns_fd, unsigned queue_count, struct arena *arena, struct net *net,
		struct error *err)
{
	struct error why = { 0 };
	struct carry carry = {
		.arena = arena, .net = net, .first = net->interface_count, .err = &why
	};
	struct netlink netlink;
	int r = netns_netlink(ns_fd, &netlink, err);

	if (r < 0)
		return r;
	r = carry_all(ns_fd, &netlink, queue_count, &carry);
	close_fd(&netlink.fd);
	return r < 0 ? error_set(err, r, "%s", why.text) : 0;
}

int netns_carry_path(const char *path, unsigned queue_count, struct arena *arena, struct net *net,
		     struct error *err)
{
	own_fd fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	struct error why = { 0 };
	int r;

	if (fd < 0)
		return error_set(err, fd, "network namespace %.150s: %s", path, sys_text(fd));
	if (sys_ioctl(fd, NS_GET_NSTYPE, NULL) != CLONE_NEWNET)
		return error_set(err, -EINVAL, "%.150s is no network namespace", path);
	r = netns_carry(fd, queue_count, arena, net, &why);
	if (r == 0) {
		struct resolver resolver = { 0 };

		resolver_read_host(arena, &resolver);
		net->dns = resolver.servers;
		net->dns_search = resolver.search;
		net->dns_options = resolver.options;
	}
	return r < 0 ? error_set(err, r, "%.100s: %s", path, why.text) : 0;
}

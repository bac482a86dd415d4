#include "runtime/net/link.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

static uint8_t family_of(const struct ip *ip)
{
	return ip->size == 4 ? AF_INET : AF_INET6;
}

static int read_index(void *context, uint16_t type, const void *header, const void *attributes,
		      size_t size)
{
	struct ifinfomsg link;

	(void)attributes;
	(void)size;
	memcpy(&link, header, sizeof link);
	if (type == RTM_NEWLINK)
		*(int *)context = link.ifi_index;
	return 0;
}

int link_index(struct netlink *netlink, const char *name)
{
	const struct ifinfomsg any = { .ifi_family = AF_UNSPEC };
	struct netlink_message message;
	int index = -ENODEV, r;

	netlink_begin(&message, RTM_GETLINK, 0, &any, sizeof any);
	netlink_put_text(&message, IFLA_IFNAME, name);
	r = netlink_ask(netlink, &message, sizeof any, read_index, &index);
	return r < 0 ? r : index;
}

int link_add_bridge(struct netlink *netlink, const char *name, const uint8_t mac[IP_MAC_SIZE],
		    uint32_t mtu, int *out_index)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC,
					.ifi_flags = IFF_UP,
					.ifi_change = IFF_UP };
	struct netlink_message message;
	size_t info;
	int r;

	netlink_begin(&message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
	netlink_put_text(&message, IFLA_IFNAME, name);
	netlink_put(&message, IFLA_ADDRESS, mac, IP_MAC_SIZE);
	netlink_put_u32(&message, IFLA_MTU, mtu);
	info = netlink_nest(&message, IFLA_LINKINFO);
	netlink_put_text(&message, IFLA_INFO_KIND, "bridge");
	netlink_nest_end(&message, info);
	r = netlink_request(netlink, &message);
	if (r < 0)
		return r;
	r = link_index(netlink, name);
	if (r < 0)
		return r;
	*out_index = r;
	return 0;
}

int link_remove(struct netlink *netlink, int index)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	struct netlink_message message;

	netlink_begin(&message, RTM_DELLINK, 0, &head, sizeof head);
	return netlink_request(netlink, &message);
}

int link_add_address(struct netlink *netlink, int index, const struct ip_prefix *address)
{
	const struct ifaddrmsg head = {
		.ifa_family = family_of(&address->ip),
		.ifa_prefixlen = address->length,
		.ifa_flags = address->ip.size == 16 ? IFA_F_NODAD : 0,
		.ifa_index = (uint32_t)index,
	};
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head);
	netlink_put(&message, IFA_LOCAL, address->ip.bytes, address->ip.size);
	netlink_put(&message, IFA_ADDRESS, address->ip.bytes, address->ip.size);
	return netlink_request(netlink, &message);
}

static int set_port(struct netlink *netlink, int port, bool isolated)
{
	const struct ifinfomsg head = { .ifi_family = AF_BRIDGE, .ifi_index = port };
	const uint8_t off = 0, is_isolated = isolated;
	struct netlink_message message;
	size_t settings;

	netlink_begin(&message, RTM_SETLINK, 0, &head, sizeof head);
	settings = netlink_nest(&message, IFLA_PROTINFO);
	netlink_put(&message, IFLA_BRPORT_LEARNING, &off, sizeof off);
	netlink_put(&message, IFLA_BRPORT_UNICAST_FLOOD, &off, sizeof off);
	netlink_put(&message, IFLA_BRPORT_ISOLATED, &is_isolated, sizeof is_isolated);
	netlink_nest_end(&message, settings);
	return netlink_request(netlink, &message);
}

static int set_port_mac(struct netlink *netlink, int port, const uint8_t mac[IP_MAC_SIZE])
{
	const struct ndmsg head = {
		.ndm_family = AF_BRIDGE,
		.ndm_ifindex = port,
		.ndm_state = NUD_NOARP, /* static: it neither ages nor moves */
		.ndm_flags = NTF_MASTER,
	};
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head);
	netlink_put(&message, NDA_LLADDR, mac, IP_MAC_SIZE);
	return netlink_request(netlink, &message);
}

int link_add_port(struct netlink *netlink, int bridge, int port, uint32_t mtu,
		  const uint8_t mac[IP_MAC_SIZE], bool isolated)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC,
					.ifi_index = port,
					.ifi_flags = IFF_UP,
					.ifi_change = IFF_UP };
	struct netlink_message message;
	int r;

	netlink_begin(&message, RTM_NEWLINK, 0, &head, sizeof head);
	netlink_put_u32(&message, IFLA_MTU, mtu);
	netlink_put_u32(&message, IFLA_MASTER, (uint32_t)bridge);
	r = netlink_request(netlink, &message);
	if (r == 0)
		r = set_port(netlink, port, isolated);
	return r < 0 ? r : set_port_mac(netlink, port, mac);
}

int link_add_neighbour(struct netlink *netlink, int index, const struct ip *ip,
		       const uint8_t mac[IP_MAC_SIZE])
{
	const struct ndmsg head = { .ndm_family = family_of(ip),
				    .ndm_ifindex = index,
				    .ndm_state = NUD_PERMANENT };
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head);
	netlink_put(&message, NDA_DST, ip->bytes, ip->size);
	netlink_put(&message, NDA_LLADDR, mac, IP_MAC_SIZE);
	return netlink_request(netlink, &message);
}

int link_remove_neighbour(struct netlink *netlink, int index, const struct ip *ip)
{
	const struct ndmsg head = { .ndm_family = family_of(ip), .ndm_ifindex = index };
	struct netlink_message message;

	netlink_begin(&message, RTM_DELNEIGH, 0, &head, sizeof head);
	netlink_put(&message, NDA_DST, ip->bytes, ip->size);
	return netlink_request(netlink, &message);
}

struct overlap {
	const struct ip_prefix *network;
	bool found;
};

static int compare_route(void *context, uint16_t type, const void *header, const void *attributes,
			 size_t size)
{
	struct overlap *overlap = context;
	struct netlink_attribute destination;
	struct ip_prefix route = { 0 };
	struct rtmsg head;

	memcpy(&head, header, sizeof head);
	if (type != RTM_NEWROUTE || head.rtm_dst_len == 0 ||
	    !netlink_find(attributes, size, RTA_DST, &destination) ||
	    destination.size > sizeof route.ip.bytes)
		return 0;
	route.ip.size = (uint8_t)destination.size;
	memcpy(route.ip.bytes, destination.data, destination.size);
	route.length = head.rtm_dst_len;
	overlap->found |= ip_overlap(&route, overlap->network);
	return 0;
}

int link_is_routed(struct netlink *netlink, const struct ip_prefix *network, bool *out)
{
	const struct rtmsg any = { .rtm_family = family_of(&network->ip) };
	struct overlap overlap = { .network = network };
	struct netlink_message message;
	int r;

	netlink_begin(&message, RTM_GETROUTE, NLM_F_DUMP, &any, sizeof any);
	r = netlink_ask(netlink, &message, sizeof any, compare_route, &overlap);
	if (r == 0)
		*out = overlap.found;
	return r;
}

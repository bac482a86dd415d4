#pragma once
#include "base/netlink.h"
#include "runtime/net/ip.h"

#include <stddef.h>

/* The host's interfaces, by rtnetlink: all that katavm asks of it. Answers are 0 or -errno. */

/* Its index, or -ENODEV. */
int link_index(struct netlink *netlink, const char *name);

/* A bridge without ports, raised. -EEXIST: there is an interface of this name. */
int link_add_bridge(struct netlink *netlink, const char *name, const uint8_t mac[IP_MAC_SIZE],
		    uint32_t mtu, int *out_index);
int link_remove(struct netlink *netlink, int index);

/* Also when it is there already. */
int link_add_address(struct netlink *netlink, int index, const struct ip_prefix *address);

/* Raises the tap as a port of the bridge: it sends from and receives for `mac` only; an isolated
 * port reaches the host and ports that are not isolated. */
int link_add_port(struct netlink *netlink, int bridge, int port, uint32_t mtu,
		  const uint8_t mac[IP_MAC_SIZE], bool isolated);

/* On this interface ip is at mac, whatever others say. */
int link_add_neighbour(struct netlink *netlink, int index, const struct ip *ip,
		       const uint8_t mac[IP_MAC_SIZE]);
int link_remove_neighbour(struct netlink *netlink, int index, const struct ip *ip);

/* Is any part of network reached from this host by a route other than the default ones? */
int link_is_routed(struct netlink *netlink, const struct ip_prefix *network, bool *out);

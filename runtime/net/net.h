#pragma once
#include "base/error.h"
#include "runtime/arena.h"
#include "runtime/net/ip.h"

#include <net/if.h>

/*
 * A sandbox's network as runtime/net makes it, whichever kind it is of: what the VMM is given
 * (descriptors, hardware address), what the agent is told (addresses, routes, neighbours), and what
 * the container's files say. sandbox.c hands interfaces to the VMM, spec.c the rest to the agent.
 * Lists live in the arena given to the maker; descriptors are the network's own until net_finish.
 */
enum { NET_MAX_INTERFACES = 8, NET_MAX_QUEUES = 8 };

struct net_route {
	struct ip_prefix destination; /* ip.size 0: everything, of the gateway's kind */
	struct ip gateway, source;    /* size 0: none */
	uint32_t metric, mtu;         /* 0: the kernel's and the interface's */
	bool onlink;
};

struct net_neighbour {
	struct ip ip;
	uint8_t mac[IP_MAC_SIZE];
};

struct net_interface {
	char name[IF_NAMESIZE]; /* in the guest */
	uint8_t mac[IP_MAC_SIZE];
	uint32_t mtu;
	size_t queue_count;
	int tap_fds[NET_MAX_QUEUES]; /* queue_count of them: a tap, or a socket to passt */
	bool stream; /* frames on a stream socket, each behind its length in four bytes: passt's */
	size_t address_count, route_count, neighbour_count;
	struct ip_prefix *addresses;
	struct net_route *routes;
	struct net_neighbour *neighbours;
};

struct net_name { /* a line of /etc/hosts */
	struct ip ip;
	const char *names; /* separated by blanks */
};

struct net {
	size_t interface_count;
	struct net_interface interfaces[NET_MAX_INTERFACES];
	size_t name_count;
	struct net_name *names;
	struct texts dns, dns_search, dns_options; /* unless --dns and its like say otherwise */
};

/* Closes the descriptors. Accepts a zeroed one. */
void net_finish(struct net *net);

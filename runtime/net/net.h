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
enum { NET_MAX_INTERFACES = 8, NET_MAX_QUEUES = 4 };

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

/* What a sandbox is to be connected to; texts are borrowed and live as long as the network. */
struct net_request {
	const char *network; /* its name; NULL: no network at all */
	bool optional; /* nobody asked for it: where it cannot be had, there is none, said on stderr
			*/
	const char *id, *name, *hostname, *domainname; /* name and domainname may be NULL */
	struct ip ip;                                  /* the container's IPv4 address, or none */
	struct texts aliases;                          /* more names on the network */
	struct texts ports;                            /* of --publish, parsed already once */
	struct texts allowed; /* of --allow-host: nothing else may be reached, when there is one */
};

struct net {
	struct bridge *bridge; /* private to bridge.c; NULL: another kind of network */
	size_t interface_count;
	struct net_interface interfaces[NET_MAX_INTERFACES];
	size_t name_count;
	struct net_name *names;
	struct texts dns, dns_search, dns_options; /* unless --dns and its like say otherwise */
};

/* Connects a sandbox. Host programs that have to be run for it go on running while this returns. */
int net_open(const struct net_request *request, struct arena *arena, struct net *out,
	     struct error *err);

/* Waits until the network is as it has to be before anything runs in the guest. */
int net_ready(struct net *net, struct error *err);

/* Readable when there is something for net_process; -1: there never is. */
int net_fd(const struct net *net);
/* Says what --allow-host denies and was not said before, and looks its names up again. True: names
 * may have changed. */
bool net_process(struct net *net, void (*say)(void *context, const char *sentence), void *context);
/* The names of now into net->names. */
void net_names_read(struct net *net, struct arena *arena);

/* How many packets --allow-host denied. */
uint64_t net_denied(struct net *net);

/* Takes away what the host had for it and closes the descriptors. Accepts a zeroed one. */
void net_finish(struct net *net);

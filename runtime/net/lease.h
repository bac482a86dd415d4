#pragma once
#include "base/error.h"
#include "runtime/arena.h"
#include "runtime/net/network.h"

/*
 * Who has which address: one file for each sandbox on a network, RUN/net/leases/NETWORK/INDEX,
 * where INDEX is the number of its addresses in the network. Its katavm holds a lock on it for as
 * long as it lives, and the lock is the truth: a file nobody holds is of one that was killed, and
 * who comes next takes its traces away. Files are made and removed, and networks changed, under one
 * lock of all.
 */
enum { LEASE_FIRST_INDEX = 2, LEASE_FILE_MAX = 64 << 10, LEASE_MAX_PORTS = 1024 };

struct lease_port {
	struct ip host; /* size 0: every address of the host, of both kinds */
	uint16_t host_port, guest_port;
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
};

struct lease {
	int fd; /* locked; -1: none */
	char network[NETWORK_NAME_SIZE], bridge[IF_NAMESIZE], tap[IF_NAMESIZE];
	uint32_t index;
	uint8_t mac[IP_MAC_SIZE];
	struct ip addresses[NETWORK_KINDS];
	const char *id, *name, *hostname; /* name may be NULL */
	struct texts aliases;
	size_t port_count;
	struct lease_port *ports;
	struct ip dns_relay; /* where the forwarder answers for the host's name server; or none */
	uint16_t dns_relay_port;
	bool ending;     /* its container has ended, its rules are being removed */
	bool restricted; /* may reach what it was allowed only */
};

/* A descriptor that holds the lock of all; waits for it. */
int lease_lock(struct error *err);

/* The number of a free address (the wish, for which it waits while its container is ending, or the
 * lowest when that is 0), with an empty locked file of that number in out->fd. -EADDRINUSE: the
 * wish is taken, by whom err says. */
int lease_take(const struct network *network, uint32_t wish, struct lease *out, struct error *err);
/* Writes down what the rest of *lease says. */
int lease_write(const struct lease *lease, struct error *err);
/* Removes the file, closes it. Accepts one with fd -1. */
void lease_release(struct lease *lease);

/* Calls each for every lease of a network (NULL: of all), with alive saying whether somebody holds
 * it. dead_only: for those only that nobody does, which are locked in lease->fd now, each's to keep
 * or close. Strings live in arena. Nothing but network and index is known of a lease whose file is
 * not whole. A result other than 0 ends it. */
int lease_each(const char *network, bool dead_only, struct arena *arena,
	       int (*each)(void *context, struct lease *lease, bool alive), void *context,
	       struct error *err);

/* -EINVAL: the text is not a lease. network and index are not touched. */
int lease_parse(const char *text, size_t size, struct arena *arena, struct lease *out);

/* A folder for notices of changes (inotify) of one network's leases. */
int lease_folder(const char *network, char path[PATH_MAX], struct error *err);

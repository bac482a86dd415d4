#pragma once
#include "base/error.h"
#include "runtime/net/lease.h"

/*
 * Ports of the host that lead to a container. A port is held by a socket that listens on it,
 * whoever passes the packets on: the kernel says at once when somebody has it already, and takes it
 * back after any death.
 */
struct publish {         /* one -p: a range, each to the guest's port as far from the first */
	struct ip host;  /* size 0: 127.0.0.1 and ::1, which is what -p without an address means */
	bool everywhere; /* [::] and 0.0.0.0 alike: all of the host's addresses */
	uint16_t host_first; /* 0: any that is free */
	uint16_t guest_first;
	uint16_t count; /* of ports, 1 or more */
	uint8_t protocol;
};

/* [ip:][host]:guest[/tcp|/udp], guest[/tcp|/udp]; host and guest also FIRST-LAST. */
int publish_parse(const char *text, struct publish *out, struct error *err);

/* A socket that listens, and where what comes there goes. */
struct publish_socket {
	int fd;
	struct lease_port port;
};

/* Takes the ports: *count sockets more in sockets[], which has room for LEASE_MAX_PORTS. The error
 * names the port, and the container that has it. */
int publish_take(const struct publish *publish, struct arena *arena, struct publish_socket *sockets,
		 size_t *count, struct error *err);

/* One socket that listens, not blocking. *port 0: any, which is then in *port. */
int publish_listen(const struct ip *ip, uint16_t *port, uint8_t protocol);

#pragma once
#include "runtime/net/forward.h"
#include "runtime/net/publish.h"

/* All that listens on the host for one sandbox: its published ports, and the way to a name server
 * on the host's loopback. */
struct ports {
	struct publish_socket *sockets;
	size_t count;
	int dns_fds[2]; /* UDP and TCP; -1: none */
	struct ip dns_server;
	struct forwarder forwarder;
};
#define PORTS_NONE ((struct ports){ .dns_fds = { -1, -1 } })

/* Takes what was published (texts of --publish) and writes it down in the lease. */
int ports_take(const struct texts *published, struct arena *arena, struct lease *lease,
	       struct ports *out, struct error *err);
/* Listens for questions on an address of the host, on a port that goes into the lease; server is
 * asked. */
int ports_take_dns(const struct ip *address, const struct ip *server, struct lease *lease,
		   struct ports *out, struct error *err);
/* Starts passing on, and gives the sockets away to the process that does. */
int ports_start(struct ports *ports, const struct lease *lease, struct arena *arena,
		struct error *err);
void ports_finish(struct ports *ports);

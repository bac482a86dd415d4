/*
 * Who sends to the socket gets a socket of its own towards the guest, connected, so that answers
 * are told apart. The least recently used one makes room for a new one; nothing else ends them.
 */
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/forward_private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum { FLOWS = 512, PACKETS = 64, PACKET_SIZE = 65536 };

struct flow {
	struct forward_watch watch; /* fd -1: free */
	struct port *port;
	struct sockaddr_storage client;
	socklen_t client_size;
	uint64_t used; /* the port's count when a packet passed last */
};

struct port {
	struct forward_watch watch;
	struct forward_target target;
	uint64_t count;
	struct flow flows[FLOWS];
};

static uint8_t packet[PACKET_SIZE];

/* Answers of the guest. */
static void on_flow(struct forward_watch *watch, uint32_t events)
{
	struct flow *flow = container_of(watch, struct flow, watch);

	(void)events;
	for (int i = 0; i < PACKETS; i++) {
		long size = SYS_RETRY(recv, watch->fd, packet, sizeof packet, 0);

		if (size < 0) /* also "nobody listens there", which is the sender's to find out */
			return;
		flow->used = ++flow->port->count;
		(void)SYS_RETRY(sendto, flow->port->watch.fd, packet, (size_t)size, 0,
				(const struct sockaddr *)&flow->client, flow->client_size);
	}
}

static void end_flow(struct flow *flow)
{
	(void)forward_watch_set(&flow->watch, 0);
	close_fd(&flow->watch.fd);
}

static int start_flow(struct port *port, struct flow *flow, const struct sockaddr_storage *client,
		      socklen_t size)
{
	own_fd fd = (int)SYS(socket, port->target.address.ss_family,
			     SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? fd
		       : (int)SYS(connect, fd, (const struct sockaddr *)&port->target.address,
				  port->target.size);

	if (r < 0)
		return r;
	*flow = (struct flow){
		.watch = { .fd = take_fd(&fd), .epoll_fd = port->watch.epoll_fd, .ready = on_flow },
		.port = port,
		.client = *client,
		.client_size = size,
	};
	r = forward_watch_set(&flow->watch, EPOLLIN);
	if (r < 0)
		close_fd(&flow->watch.fd);
	return r;
}

/* The client's, or a new one in a free place or in that of the one unused for longest. */
static struct flow *find_flow(struct port *port, const struct sockaddr_storage *client,
			      socklen_t size)
{
	struct flow *place = &port->flows[0];

	for (size_t i = 0; i < FLOWS; i++) {
		struct flow *flow = &port->flows[i];

		if (flow->watch.fd >= 0 && flow->client_size == size &&
		    memcmp(&flow->client, client, size) == 0)
			return flow;
		if (place->watch.fd >= 0 && (flow->watch.fd < 0 || flow->used < place->used))
			place = flow;
	}
	if (place->watch.fd >= 0)
		end_flow(place);
	return start_flow(port, place, client, size) < 0 ? NULL : place;
}

static void on_port(struct forward_watch *watch, uint32_t events)
{
	struct port *port = container_of(watch, struct port, watch);

	(void)events;
	for (int i = 0; i < PACKETS; i++) {
		struct sockaddr_storage client = { 0 };
		socklen_t client_size = sizeof client;
		long size = SYS_RETRY(recvfrom, watch->fd, packet, sizeof packet, 0,
				      (struct sockaddr *)&client, &client_size);
		struct flow *flow;

		if (size < 0)
			return;
		flow = find_flow(port, &client, client_size);
		if (!flow)
			continue;
		flow->used = ++port->count;
		(void)SYS_RETRY(send, flow->watch.fd, packet, (size_t)size, 0);
	}
}

int forward_udp_add(int epoll_fd, int fd, const struct forward_target *target)
{
	struct port *port = malloc(sizeof *port);

	if (!port)
		return -ENOMEM;
	*port = (struct port){
		.watch = { .fd = fd, .epoll_fd = epoll_fd, .ready = on_port },
		.target = *target,
	};
	for (size_t i = 0; i < FLOWS; i++)
		port->flows[i].watch.fd = -1;
	return forward_watch_set(&port->watch, EPOLLIN);
}

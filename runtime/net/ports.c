#include "runtime/net/ports.h"

#include "base/own.h"
#include "base/sys.h"

#include <netinet/in.h>
#include <string.h>

enum { DNS_PORT = 53 };

static bool same_port(const struct lease_port *left, const struct lease_port *right)
{
	return ip_equal(&left->host, &right->host) && left->host_port == right->host_port &&
	       left->guest_port == right->guest_port && left->protocol == right->protocol;
}

int ports_take(const struct texts *published, struct arena *arena, struct lease *lease,
	       struct ports *out, struct error *err)
{
	int r = 0;

	if (published->count == 0)
		return 0;
	out->sockets = arena_alloc(arena, LEASE_MAX_PORTS * sizeof *out->sockets);
	for (size_t i = 0; r == 0 && i < published->count; i++) {
		struct publish publish;

		r = publish_parse(published->list[i], &publish, err);
		if (r == 0)
			r = publish_take(&publish, arena, out->sockets, &out->count, err);
	}
	lease->ports = arena_alloc(arena, out->count * sizeof *lease->ports);
	for (size_t i = 0; r == 0 && i < out->count; i++) /* one socket for each kind of address */
		if (i == 0 || !same_port(&out->sockets[i - 1].port, &out->sockets[i].port))
			lease->ports[lease->port_count++] = out->sockets[i].port;
	return r;
}

int ports_take_dns(const struct ip *address, const struct ip *server, struct lease *lease,
		   struct ports *out, struct error *err)
{
	int r = 0;

	/* a port that is free for both */
	for (int tries = 0; tries < 32; tries++) {
		uint16_t port = 0;

		out->dns_fds[0] = publish_listen(address, &port, IPPROTO_UDP);
		r = out->dns_fds[0];
		if (r < 0)
			break;
		out->dns_fds[1] = publish_listen(address, &port, IPPROTO_TCP);
		r = out->dns_fds[1];
		if (r >= 0) {
			out->dns_server = *server;
			lease->dns_relay = *address;
			lease->dns_relay_port = port;
			return 0;
		}
		close_fd(&out->dns_fds[0]);
	}
	return error_set(err, r, "listen for the container's questions for names: %s", sys_text(r));
}

static void close_sockets(struct ports *ports)
{
	for (size_t i = 0; i < ports->count; i++)
		close_fd(&ports->sockets[i].fd);
	ports->count = 0;
	for (size_t i = 0; i < 2; i++)
		close_fd(&ports->dns_fds[i]);
}

int ports_start(struct ports *ports, const struct lease *lease, struct arena *arena,
		struct error *err)
{
	struct forward *list = arena_alloc(arena, (ports->count + 2) * sizeof *list);
	size_t count = 0;
	int r;

	for (size_t i = 0; i < ports->count; i++)
		list[count++] = (struct forward){ .fd = ports->sockets[i].fd,
						  .protocol = ports->sockets[i].port.protocol,
						  .to = lease->addresses[NETWORK_V4],
						  .to_port = ports->sockets[i].port.guest_port };
	for (size_t i = 0; i < 2; i++)
		if (ports->dns_fds[i] >= 0)
			list[count++] =
			    (struct forward){ .fd = ports->dns_fds[i],
					      .protocol = i == 0 ? IPPROTO_UDP : IPPROTO_TCP,
					      .to = ports->dns_server,
					      .to_port = DNS_PORT };
	r = forward_start(list, count, &ports->forwarder, err);
	close_sockets(ports);
	return r;
}

void ports_finish(struct ports *ports)
{
	forward_stop(&ports->forwarder);
	close_sockets(ports);
}

/*
 * Under the lock of all leases: what dead ones left is found, an address is taken, the bridge and
 * its port are made, and nft is started on one batch that removes the rules of the dead and adds
 * ours. nft works while the VM boots; bridge_ready waits for it before the guest is told to start
 * anything. The files of the dead stay locked by us until nft is done, so that nobody takes their
 * addresses, and with them the elements that are being removed, before that.
 */
#include "runtime/net/bridge_private.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/link.h"
#include "runtime/net/tap.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>

/* --- the dead --- */

static int collect_dead(void *context, struct lease *lease, bool alive)
{
	struct bridge *bridge = context;

	if (alive)
		return 0;
	if (bridge->dead_count == DEAD_MAX) {
		close_fd(&lease->fd);
		return 1;
	}
	bridge->dead[bridge->dead_count++] = *lease;
	return 0;
}

static void remove_dead_rules(const struct bridge *bridge, struct rules *rules)
{
	for (size_t i = 0; i < bridge->dead_count; i++)
		if (bridge->dead[i].id) /* else it died before it had any */
			rules_remove_lease(rules, &bridge->dead[i]);
}

static void forget_neighbours(struct netlink *netlink, const struct lease *lease)
{
	int index = link_index(netlink, lease->bridge);

	for (size_t kind = 0; index > 0 && kind < NETWORK_KINDS; kind++)
		if (lease->addresses[kind].size)
			(void)link_remove_neighbour(netlink, index, &lease->addresses[kind]);
}

static void release_dead(struct bridge *bridge)
{
	for (size_t i = 0; i < bridge->dead_count; i++)
		lease_release(&bridge->dead[i]);
	bridge->dead_count = 0;
}

static void keep_dead(struct bridge *bridge)
{
	for (size_t i = 0; i < bridge->dead_count; i++)
		close_fd(&bridge->dead[i].fd);
	bridge->dead_count = 0;
}

/* --- connecting --- */

static int find_network(const char *name, struct network *out, struct error *err)
{
	const struct network_wish wish = { .name = name };
	int r = network_load(name, out, err);

	if (r == -ENOENT && strcmp(name, NETWORK_DEFAULT) == 0)
		r = network_create(&wish, out, err);
	return r;
}

static int wished_index(const struct network *network, const struct ip *ip, uint32_t *out,
			struct error *err)
{
	const struct ip_prefix *subnet = &network->subnets[NETWORK_V4];
	char text[IP_TEXT_SIZE];
	uint32_t index = 0;

	*out = 0;
	if (!ip->size)
		return 0;
	for (size_t i = 0; i < 4; i++)
		index = index << 8 | ip->bytes[i];
	index &= UINT32_MAX >> subnet->length;
	if (!ip_within(ip, subnet) || index == 0 || index == UINT32_MAX >> subnet->length)
		return error_set(err, -EINVAL, "--ip %s is no address of the network \"%s\"",
				 ip_print(ip, text), network->name);
	*out = index;
	return 0;
}

static int add_port(struct bridge *bridge, struct netlink *netlink, struct net_interface *one,
		    struct error *err)
{
	struct lease *lease = &bridge->lease;
	int port, r;

	r = tap_open("kvt%d", 1, one->tap_fds, lease->tap, err);
	if (r < 0)
		return r;
	one->queue_count = 1;
	port = link_index(netlink, lease->tap);
	r = port < 0 ? port
		     : link_add_port(netlink, bridge->index, port, bridge->network.mtu, lease->mac,
				     strcmp(lease->network, NETWORK_DEFAULT) == 0);
	for (size_t kind = 0; r == 0 && kind < NETWORK_KINDS; kind++) {
		if (lease->addresses[kind].size == 0)
			continue;
		r = link_add_neighbour(netlink, bridge->index, &lease->addresses[kind], lease->mac);
		if (kind == NETWORK_V6 && r < 0)
			r = 0; /* the host has IPv6 switched off */
		else
			bridge->has_v6 = kind == NETWORK_V6;
	}
	return r < 0 ? error_set(err, r, "connect %s to the bridge %s: %s", lease->tap,
				 lease->bridge, sys_text(r))
		     : 0;
}

/* What listens on the host, of which some is on the bridge's address. */
static int open_ports(struct bridge *bridge, const struct net_request *request, struct arena *arena,
		      struct error *err)
{
	const struct resolver *host = &bridge->resolver;
	int r = ports_take(&request->ports, arena, &bridge->lease, &bridge->ports, err);

	if (r == 0 && !bridge->lease.restricted && host->servers.count == 0 && host->local.size &&
	    !bridge->network.internal)
		r = ports_take_dns(&bridge->network.gateways[NETWORK_V4], &host->local,
				   &bridge->lease, &bridge->ports, err);
	return r;
}

/* A host whose kernel has no such log denies as well. */
static void open_denials(struct bridge *bridge)
{
	struct error err;

	if (denials_open(&bridge->denials, &err) < 0)
		(void)fprintf(stderr, "katavm: what is denied is counted, but not named: %s\n",
			      err.text);
}

static int start_rules(struct bridge *bridge, struct error *err)
{
	struct rules rules;
	int r = rules_begin(&rules, err);

	if (r < 0)
		return r;
	if (bridge->lease.restricted)
		open_denials(bridge);
	rules_need_base(&rules);
	rules_add_network(&rules, &bridge->network);
	remove_dead_rules(bridge, &rules);
	rules_add_lease(&rules, &bridge->lease);
	if (bridge->lease.restricted)
		rules_add_targets(&rules, &bridge->lease, bridge->allowed.targets,
				  bridge->allowed.target_count, bridge->denials.group);
	r = rules_start(&rules, &bridge->run, err);
	rules_finish(&rules);
	return r;
}

/* Of a container that was killed, or whose process that takes its traces away was. */
static bool is_deads(const struct bridge *bridge, uint32_t index)
{
	for (size_t i = 0; i < bridge->dead_count; i++)
		if (bridge->dead[i].index == index &&
		    strcmp(bridge->dead[i].network, bridge->network.name) == 0)
			return true;
	return false;
}

/* In a run of nft before ours, which is done when this returns. */
static int clear_dead(struct bridge *bridge, struct netlink *netlink, struct error *err)
{
	struct rules rules;
	int r = rules_begin(&rules, err);

	if (r < 0)
		return r;
	rules_need_base(&rules);
	remove_dead_rules(bridge, &rules);
	for (size_t i = 0; i < bridge->dead_count; i++)
		forget_neighbours(netlink, &bridge->dead[i]);
	r = rules_start(&rules, &bridge->run, err);
	rules_finish(&rules);
	return r < 0 ? r : bridge_ready(bridge, err);
}

static int connect_locked(struct bridge *bridge, const struct net_request *request,
			  struct arena *arena, struct net_interface *one, struct error *err)
{
	own_netlink netlink = NETLINK_CLOSED;
	uint32_t index = 0;
	int r = find_network(request->network, &bridge->network, err);

	if (r == 0)
		r = wished_index(&bridge->network, &request->ip, &index, err);
	if (r == 0)
		r = lease_each(NULL, true, arena, collect_dead, bridge, err);
	if (r < 0)
		return r;
	r = netlink_open(NETLINK_ROUTE, &netlink);
	if (r < 0)
		return error_set(err, r, "open a netlink socket: %s", sys_text(r));
	r = index && is_deads(bridge, index) ? clear_dead(bridge, &netlink, err) : 0;
	if (r == 0)
		r = lease_take(&bridge->network, index, &bridge->lease, err);
	for (size_t i = 0; r == 0 && i < bridge->dead_count; i++)
		forget_neighbours(&netlink, &bridge->dead[i]);
	if (r == 0)
		r = network_raise(&bridge->network, &bridge->index, err);
	if (r == 0)
		r = open_ports(bridge, request, arena, err);
	if (r == 0)
		r = add_port(bridge, &netlink, one, err);
	if (r == 0)
		r = lease_write(&bridge->lease, err);
	if (r == 0)
		r = start_rules(bridge, err);
	return r < 0 ? r : ports_start(&bridge->ports, &bridge->lease, arena, err);
}

/* --- what the guest is told --- */

static void describe_interface(const struct bridge *bridge, struct arena *arena,
			       struct net_interface *out)
{
	const struct network *network = &bridge->network;

	(void)snprintf(out->name, sizeof out->name, "eth0");
	memcpy(out->mac, bridge->lease.mac, IP_MAC_SIZE);
	out->mtu = network->mtu;
	out->addresses = arena_alloc(arena, NETWORK_KINDS * sizeof *out->addresses);
	out->routes = arena_alloc(arena, NETWORK_KINDS * sizeof *out->routes);
	out->neighbours = arena_alloc(arena, NETWORK_KINDS * sizeof *out->neighbours);
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++) {
		struct net_neighbour *gateway = &out->neighbours[out->neighbour_count];

		if (!bridge->lease.addresses[kind].size || (kind == NETWORK_V6 && !bridge->has_v6))
			continue;
		out->addresses[out->address_count++] =
		    (struct ip_prefix){ .ip = bridge->lease.addresses[kind],
					.length = network->subnets[kind].length };
		if (network->internal)
			continue;
		out->routes[out->route_count++] =
		    (struct net_route){ .gateway = network->gateways[kind] };
		gateway->ip = network->gateways[kind];
		network_mac(&network->gateways[NETWORK_V4], gateway->mac);
		out->neighbour_count++;
	}
}

static void describe_resolver(const struct bridge *bridge, struct arena *arena, struct net *out)
{
	const struct resolver *host = &bridge->resolver;
	char gateway[IP_TEXT_SIZE];

	if (bridge->lease.restricted) /* what it may know is in its /etc/hosts */
		return;
	out->dns = host->servers;
	if (bridge->lease.dns_relay.size)
		texts_add(arena, &out->dns,
			  arena_print(arena, "%s",
				      ip_print(&bridge->network.gateways[NETWORK_V4], gateway)));
	out->dns_search = host->search;
	out->dns_options = host->options;
}

/* --- the whole --- */

static void fill_lease(const struct net_request *request, struct arena *arena, struct bridge *out)
{
	out->lease.id = request->id;
	out->lease.name = request->name;
	out->lease.hostname = request->hostname;
	out->lease.aliases = request->aliases;
	out->lease.restricted = request->allowed.count > 0;
	out->own_names = request->domainname ? arena_print(arena, "%s.%s %s", request->hostname,
							   request->domainname, request->hostname)
					     : request->hostname;
}

int bridge_open(const struct net_request *request, struct arena *arena, struct net *out,
		struct error *err)
{
	struct bridge *bridge = arena_alloc(arena, sizeof *bridge);
	struct net net = { .bridge = bridge, .interface_count = 1 };
	char path[PATH_MAX];
	own_fd lock = -1;
	int r = rules_find_nft(path, err);

	bridge->lease.fd = -1;
	bridge->names_fd = -1;
	bridge->event_fd = -1;
	bridge->again = ALLOW_AGAIN_NONE;
	bridge->denials = DENIALS_NONE;
	bridge->ports = PORTS_NONE;
	fill_lease(request, arena, bridge);
	if (r == 0 && bridge->lease.restricted) /* before the lock: it may take its time */
		r = allow_resolve(&request->allowed, arena, &bridge->allowed, err);
	if (r < 0)
		return r;
	resolver_read_host(arena, &bridge->resolver);
	lock = lease_lock(err);
	if (lock < 0)
		return lock;
	r = connect_locked(bridge, request, arena, &net.interfaces[0], err);
	if (r == 0)
		r = bridge_open_events(bridge, err);
	if (r < 0) {
		net_finish(&net);
		return r;
	}
	describe_interface(bridge, arena, &net.interfaces[0]);
	describe_resolver(bridge, arena, &net);
	bridge_names_read(bridge, arena, &net);
	*out = net;
	return 0;
}

int bridge_ready(struct bridge *bridge, struct error *err)
{
	int r = rules_wait(&bridge->run, err);

	if (r == 0)
		release_dead(bridge);
	else
		keep_dead(bridge);
	return r;
}

int bridge_denied(struct bridge *bridge, uint64_t *packets)
{
	struct rules_denied denied = { 0 };
	struct error err;
	int r = bridge_ready(bridge, &err);

	if (r == 0 && bridge->lease.restricted)
		r = rules_read_denied(&bridge->lease, &denied, &err);
	*packets = denied.packets;
	return r;
}

static void remove_traces(struct bridge *bridge)
{
	own_netlink netlink = NETLINK_CLOSED;
	struct rules rules;
	struct error err;

	if (netlink_open(NETLINK_ROUTE, &netlink) == 0)
		forget_neighbours(&netlink, &bridge->lease);
	if (rules_begin(&rules, &err) < 0)
		return;
	rules_need_base(&rules);
	rules_remove_lease(&rules, &bridge->lease);
	if (rules_start(&rules, &bridge->run, &err) == 0 && rules_wait(&bridge->run, &err) == 0)
		lease_release(&bridge->lease); /* else it stays, and the next one tries again */
	rules_finish(&rules);
}

/* In a child that has the lease, and with it the address, until all is done; nothing else of ours,
 * not even stdout, whose reader may wait for its end. */
_Noreturn static void clean(struct bridge *bridge)
{
	int null_device = sys_open(AT_FDCWD, "/dev/null", O_RDWR, 0);

	(void)SYS(setsid);
	for (int i = 0; i < 3; i++)
		(void)SYS(dup2, null_device, i);
	if (bridge->lease.fd != 3)
		(void)SYS(dup3, bridge->lease.fd, 3, O_CLOEXEC);
	bridge->lease.fd = 3;
	(void)SYS(close_range, 4, ~0U, 0);
	remove_traces(bridge);
	_exit(0);
}

void bridge_close(struct bridge *bridge)
{
	struct error err;
	pid_t pid;

	if (!bridge)
		return;
	ports_finish(&bridge->ports);
	denials_close(&bridge->denials);
	allow_again_close(&bridge->again);
	(void)bridge_ready(bridge, &err);
	if (!bridge->lease.tap[0]) {
		lease_release(&bridge->lease);
	} else {
		bridge->lease.ending = true;
		(void)lease_write(&bridge->lease, &err);
		pid = (pid_t)SYS(fork);
		if (pid == 0)
			clean(bridge);
		if (pid < 0)
			remove_traces(bridge);
	}
	close_fd(&bridge->lease.fd);
	close_fd(&bridge->names_fd);
	close_fd(&bridge->event_fd);
}

/* What a network needs of the host while it is used: its bridge, and packets being passed on. */
#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/link.h"
#include "runtime/net/network.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>

static const char v4_forwarding[] = "/proc/sys/net/ipv4/ip_forward";
static const char v6_forwarding[] = "/proc/sys/net/ipv6/conf/all/forwarding";
static const char v6_interfaces[] = "/proc/sys/net/ipv6/conf";

/* The first character of a setting, or 0. */
static char read_setting(const char *path)
{
	own_fd fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	char value = 0;

	if (fd >= 0 && SYS_RETRY(read, fd, &value, 1) != 1)
		value = 0;
	return value;
}

static int write_setting(const char *path, const char *value)
{
	own_fd fd = sys_open(AT_FDCWD, path, O_WRONLY, 0);

	return fd < 0 ? fd : sys_write_all(fd, value, strlen(value));
}

/* A host that forwards IPv6 stops taking its own addresses and routes from router advertisements,
 * unless an interface is told to do both. */
static void keep_advertisements(void)
{
	own_dir *dir = opendir(v6_interfaces);
	const struct dirent *entry;
	char path[512];

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s/accept_ra", v6_interfaces, entry->d_name);
		if (read_setting(path) == '1')
			(void)write_setting(path, "2");
	}
}

static int forward(const struct network *network, struct error *err)
{
	int r = 0;

	if (network->internal)
		return 0;
	if (read_setting(v4_forwarding) != '1')
		r = write_setting(v4_forwarding, "1");
	if (r < 0)
		return error_set(err, r, "have the host pass on packets (%s): %s", v4_forwarding,
				 sys_text(r));
	if (!network->subnets[NETWORK_V6].ip.size || read_setting(v6_forwarding) != '0')
		return 0;
	keep_advertisements();
	r = write_setting(v6_forwarding, "1");
	return r < 0 ? error_set(err, r, "have the host pass on packets (%s): %s", v6_forwarding,
				 sys_text(r))
		     : 0;
}

static int make_bridge(struct netlink *netlink, const struct network *network)
{
	uint8_t mac[IP_MAC_SIZE];
	int index, r;

	network_mac(&network->gateways[NETWORK_V4], mac);
	r = link_add_bridge(netlink, network->bridge, mac, network->mtu, &index);
	return r < 0 ? r : index;
}

/* Also of a bridge that is there: who made it may have been killed before it got here. */
static int add_addresses(struct netlink *netlink, const struct network *network, int index)
{
	int r = 0;

	for (size_t kind = 0; r == 0 && kind < NETWORK_KINDS; kind++) {
		const struct ip_prefix address = { .ip = network->gateways[kind],
						   .length = network->subnets[kind].length };

		if (address.ip.size)
			r = link_add_address(netlink, index, &address);
		if (kind == NETWORK_V6 && (r == -EACCES || r == -EPERM || r == -EOPNOTSUPP))
			r = 0; /* the host has IPv6 switched off */
	}
	return r;
}

int network_raise(const struct network *network, int *out_index, struct error *err)
{
	own_netlink netlink = NETLINK_CLOSED;
	int index, r = netlink_open(NETLINK_ROUTE, &netlink);

	if (r < 0)
		return error_set(err, r, "open a netlink socket: %s", sys_text(r));
	index = link_index(&netlink, network->bridge);
	if (index == -ENODEV)
		index = make_bridge(&netlink, network);
	r = index < 0 ? index : add_addresses(&netlink, network, index);
	if (r < 0)
		return error_set(err, r, "make the bridge %s: %s", network->bridge, sys_text(r));
	r = forward(network, err);
	if (r == 0)
		*out_index = index;
	return r;
}

int network_lower(const struct network *network, struct error *err)
{
	own_netlink netlink = NETLINK_CLOSED;
	int index, r = netlink_open(NETLINK_ROUTE, &netlink);

	if (r < 0)
		return error_set(err, r, "open a netlink socket: %s", sys_text(r));
	index = link_index(&netlink, network->bridge);
	if (index == -ENODEV)
		return 0;
	r = index < 0 ? index : link_remove(&netlink, index);
	return r < 0 ? error_set(err, r, "remove the bridge %s: %s", network->bridge, sys_text(r))
		     : 0;
}

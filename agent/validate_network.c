#include "agent/network.h"
#include "agent/validate.h"
#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>

enum {
	MAC_SIZE = 6,
	MIN_MTU = 68, /* RFC 791 */
	MAX_MTU = 65535,
	MAX_ADDRESSES = 64,
	MAX_ROUTES = 1024,
	MAX_NEIGHBOURS = 1024,
};

static int invalid(struct error *err, const char *field, const char *why)
{
	return error_set(err, -EINVAL, "interfaces.%s: %s", field, why);
}

static bool is_mac(const ProtobufCBinaryData *mac)
{
	return mac->len == MAC_SIZE && !(mac->data[0] & 1);
}

static bool is_ip(const ProtobufCBinaryData *ip)
{
	return ip->len == 4 || ip->len == 16;
}

static bool is_ip_or_empty(const ProtobufCBinaryData *ip)
{
	return ip->len == 0 || is_ip(ip);
}

static bool is_name(const char *name)
{
	size_t size = strlen(name);

	if (size == 0) /* it keeps its own */
		return true;
	for (size_t i = 0; i < size; i++)
		if (name[i] <= ' ' || name[i] > '~' || strchr("/:%", name[i]))
			return false;
	return size < IF_NAMESIZE && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int check_route(const message_route *route, struct error *err)
{
	size_t kind = route->destination.len ? route->destination.len : route->gateway.len;

	if (!is_ip_or_empty(&route->destination) || !is_ip_or_empty(&route->gateway) ||
	    !is_ip_or_empty(&route->source))
		return invalid(err, "routes", "an address is neither 4 nor 16 bytes");
	if (kind == 0)
		return invalid(err, "routes", "neither a destination nor a gateway");
	if ((route->gateway.len && route->gateway.len != kind) ||
	    (route->source.len && route->source.len != kind))
		return invalid(err, "routes", "addresses of different kinds");
	if (route->prefix > 8 * route->destination.len)
		return invalid(err, "routes.prefix", "longer than the address");
	if (route->mtu > MAX_MTU)
		return invalid(err, "routes.mtu", "beyond 65535");
	return 0;
}

static int check_lists(const message_interface *one, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < one->n_addresses; i++)
		if (!is_ip(&one->addresses[i]->ip) ||
		    one->addresses[i]->prefix > 8 * one->addresses[i]->ip.len)
			return invalid(err, "addresses", "not 4 or 16 bytes with a prefix");
	for (size_t i = 0; i < one->n_neighbours; i++)
		if (!is_ip(&one->neighbours[i]->ip) || !is_mac(&one->neighbours[i]->mac))
			return invalid(err, "neighbours", "not an address and a MAC");
	for (size_t i = 0; r == 0 && i < one->n_routes; i++)
		r = check_route(one->routes[i], err);
	return r;
}

static int check_one(const message_interface *one, struct error *err)
{
	if (!is_mac(&one->mac))
		return invalid(err, "mac", "not the 6 bytes of one interface");
	if (!is_name(one->name))
		return invalid(err, "name", "not an interface's name");
	if (one->mtu && (one->mtu < MIN_MTU || one->mtu > MAX_MTU))
		return invalid(err, "mtu", "not within 68 and 65535");
	if (one->n_addresses > MAX_ADDRESSES || one->n_routes > MAX_ROUTES ||
	    one->n_neighbours > MAX_NEIGHBOURS)
		return invalid(err, "addresses, routes or neighbours", "too many");
	return check_lists(one, err);
}

int validate_interfaces(message_interface *const *interfaces, size_t count, struct error *err)
{
	int r = 0;

	if (count > NETWORK_MAX_INTERFACES)
		return error_set(err, -EINVAL, "interfaces: more than %d", NETWORK_MAX_INTERFACES);
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = check_one(interfaces[i], err);
		for (size_t j = 0; r == 0 && j < i; j++) {
			if (memcmp(interfaces[i]->mac.data, interfaces[j]->mac.data, MAC_SIZE) == 0)
				return invalid(err, "mac", "given twice");
			if (*interfaces[i]->name &&
			    strcmp(interfaces[i]->name, interfaces[j]->name) == 0)
				return invalid(err, "name", "given twice");
		}
	}
	return r;
}

#include "runtime/net/message.h"

#include <string.h>

static ProtobufCBinaryData bytes_of(const void *bytes, size_t size)
{
	return (ProtobufCBinaryData){ .len = size, .data = (uint8_t *)(uintptr_t)bytes };
}

static ProtobufCBinaryData ip_bytes(const struct ip *ip)
{
	return bytes_of(ip->bytes, ip->size);
}

static void add_addresses(const struct net_interface *from, struct arena *arena,
			  Katavm__Agent__V1__Interface *to)
{
	Katavm__Agent__V1__Address *list = arena_alloc(arena, from->address_count * sizeof *list);

	to->addresses = arena_alloc(arena, from->address_count * sizeof *to->addresses);
	for (size_t i = 0; i < from->address_count; i++) {
		katavm__agent__v1__address__init(&list[i]);
		list[i].ip = ip_bytes(&from->addresses[i].ip);
		list[i].prefix = from->addresses[i].length;
		to->addresses[to->n_addresses++] = &list[i];
	}
}

static void add_routes(const struct net_interface *from, struct arena *arena,
		       Katavm__Agent__V1__Interface *to)
{
	Katavm__Agent__V1__Route *list = arena_alloc(arena, from->route_count * sizeof *list);

	to->routes = arena_alloc(arena, from->route_count * sizeof *to->routes);
	for (size_t i = 0; i < from->route_count; i++) {
		const struct net_route *route = &from->routes[i];

		katavm__agent__v1__route__init(&list[i]);
		list[i].destination = ip_bytes(&route->destination.ip);
		list[i].prefix = route->destination.length;
		list[i].gateway = ip_bytes(&route->gateway);
		list[i].source = ip_bytes(&route->source);
		list[i].metric = route->metric;
		list[i].mtu = route->mtu;
		list[i].onlink = route->onlink;
		to->routes[to->n_routes++] = &list[i];
	}
}

static void add_neighbours(const struct net_interface *from, struct arena *arena,
			   Katavm__Agent__V1__Interface *to)
{
	Katavm__Agent__V1__Neighbour *list =
	    arena_alloc(arena, from->neighbour_count * sizeof *list);

	to->neighbours = arena_alloc(arena, from->neighbour_count * sizeof *to->neighbours);
	for (size_t i = 0; i < from->neighbour_count; i++) {
		katavm__agent__v1__neighbour__init(&list[i]);
		list[i].ip = ip_bytes(&from->neighbours[i].ip);
		list[i].mac = bytes_of(from->neighbours[i].mac, IP_MAC_SIZE);
		to->neighbours[to->n_neighbours++] = &list[i];
	}
}

Katavm__Agent__V1__Interface **net_message_make(const struct net *net, struct arena *arena)
{
	Katavm__Agent__V1__Interface **out = arena_alloc(arena, net->interface_count * sizeof *out);

	for (size_t i = 0; i < net->interface_count; i++) {
		const struct net_interface *from = &net->interfaces[i];
		Katavm__Agent__V1__Interface *to = arena_alloc(arena, sizeof *to);

		katavm__agent__v1__interface__init(to);
		to->mac = bytes_of(from->mac, IP_MAC_SIZE);
		to->name = (char *)(uintptr_t)from->name;
		to->mtu = from->mtu;
		add_addresses(from, arena, to);
		add_routes(from, arena, to);
		add_neighbours(from, arena, to);
		out[i] = to;
	}
	return out;
}

#include "runtime/net/ip.h"
#include "runtime/net/message.h"
#include <criterion/criterion.h>
#include <string.h>

static struct ip ip(const char *text)
{
	struct ip out = { 0 };

	cr_assert(ip_parse(text, &out), "%s", text);
	return out;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix out = { 0 };

	cr_assert(ip_parse_prefix(text, &out), "%s", text);
	return out;
}

Test(network, addresses)
{
	static const char *const bad[] = { "", "1.2.3", "1.2.3.4/8", "::g", "1.2.3.256", "a" };
	struct ip one = ip("10.1.2.3"), other;
	char text[IP_TEXT_SIZE];

	cr_assert_str_eq(ip_print(&one, text), "10.1.2.3");
	other = ip("fd00::12");
	cr_assert_str_eq(ip_print(&other, text), "fd00::12");
	cr_assert_not(ip_equal(&one, &other));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_not(ip_parse(bad[i], &one), "%s", bad[i]);
	one = ip("127.8.0.1");
	other = ip("::1");
	cr_assert(ip_is_loopback(&one) && ip_is_loopback(&other));
	one = ip("::2");
	cr_assert_not(ip_is_loopback(&one));
}

Test(network, prefixes)
{
	static const char *const bad[] = { "10.0.0.0", "10.0.0.0/",   "10.0.0.0/33",
					   "::/129",   "10.0.0.0/-1", "10.0.0.0/8x",
					   "x/8",      "10.0.0.0/ 8" };
	struct ip_prefix wide = prefix("10.144.0.0/12"), narrow = prefix("10.159.255.0/24");
	struct ip inside = ip("10.159.0.1"), outside = ip("10.160.0.0"), six = ip("::");

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_not(ip_parse_prefix(bad[i], &wide), "%s", bad[i]);
	cr_assert(ip_within(&inside, &wide));
	cr_assert_not(ip_within(&outside, &wide));
	cr_assert_not(ip_within(&six, &wide));
	cr_assert(ip_overlap(&wide, &narrow) && ip_overlap(&narrow, &wide));
	narrow = prefix("10.160.0.0/24");
	cr_assert_not(ip_overlap(&wide, &narrow));
}

Test(network, counting)
{
	struct ip_prefix network = prefix("10.144.7.9/16"), six = prefix("fd12:3456::ffff/64");
	char text[IP_TEXT_SIZE];
	struct ip one = ip_at(&network, 258);

	cr_assert_str_eq(ip_print(&one, text), "10.144.1.2");
	one = ip_at(&network, 0);
	cr_assert_str_eq(ip_print(&one, text), "10.144.0.0");
	one = ip_at(&six, 0x10002);
	cr_assert_str_eq(ip_print(&one, text), "fd12:3456::1:2");
}

Test(network, hardware_addresses)
{
	static const char *const bad[] = { "",
					   "02:00:00:00:00",
					   "02:00:00:00:00:0",
					   "02:00:00:00:00:001",
					   "01:00:00:00:00:00",
					   "02-00:00:00:00:00",
					   "2:000:00:00:00:00",
					   "02:00:00:00:00:0g" };
	char text[IP_MAC_TEXT_SIZE];
	uint8_t mac[IP_MAC_SIZE];

	cr_assert(ip_parse_mac("02:aB:cd:00:ff:01", mac));
	cr_assert_str_eq(ip_print_mac(mac, text), "02:ab:cd:00:ff:01");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_not(ip_parse_mac(bad[i], mac), "%s", bad[i]);
}

Test(network, message)
{
	struct ip_prefix addresses[] = { prefix("10.0.0.2/24"), prefix("fd00::2/64") };
	struct net_route routes[] = { { .gateway = ip("10.0.0.1") },
				      { .destination = prefix("fd01::/16"), .metric = 7 } };
	struct net_neighbour neighbours[] = { { .ip = ip("10.0.0.1"), .mac = { 2 } } };
	const struct net net = { .interface_count = 1,
				 .interfaces = { { .name = "eth0",
						   .mac = { 2, 1 },
						   .mtu = 1400,
						   .address_count = 2,
						   .addresses = addresses,
						   .route_count = 2,
						   .routes = routes,
						   .neighbour_count = 1,
						   .neighbours = neighbours } } };
	struct arena arena = { 0 };
	Katavm__Agent__V1__Interface **list = net_message_make(&net, &arena);

	cr_assert_str_eq(list[0]->name, "eth0");
	cr_assert(list[0]->mac.len == 6 && list[0]->mac.data[1] == 1 && list[0]->mtu == 1400);
	cr_assert(list[0]->n_addresses == 2 && list[0]->addresses[0]->ip.len == 4 &&
		  list[0]->addresses[1]->prefix == 64);
	cr_assert(list[0]->n_routes == 2 && list[0]->routes[0]->destination.len == 0 &&
		  list[0]->routes[0]->gateway.len == 4 && list[0]->routes[1]->metric == 7 &&
		  list[0]->routes[1]->destination.len == 16);
	cr_assert(list[0]->n_neighbours == 1 && list[0]->neighbours[0]->mac.data[0] == 2);
	arena_finish(&arena);
}

#include "runtime/net/rules.h"

#include "base/sys.h"
#include "runtime/net/denials.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_ID = 12, LOGGED_A_SECOND = 50 };

#define INET   "\"family\":\"inet\",\"table\":\"katavm\""
#define BRIDGE "\"family\":\"bridge\",\"table\":\"katavm\""

#define META(key) "{\"meta\":{\"key\":\"" key "\"}}"
#define FIELD(protocol, field)                                                                     \
	"{\"payload\":{\"protocol\":\"" protocol "\",\"field\":\"" field "\"}}"
#define CONCAT(parts) "{\"concat\":[" parts "]}"
#define MATCH(left, op, right)                                                                     \
	"{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define VMAP(key, map) "{\"vmap\":{\"key\":" key ",\"data\":\"@" map "\"}}"
#define CT(key)        "{\"ct\":{\"key\":\"" key "\"}}"
#define ACCEPT         "{\"accept\":null}"
#define DROP           "{\"drop\":null}"
#define FROM_BRIDGES   MATCH(META("iifname"), "==", "\"@bridges\"")
#define TO_BRIDGES     MATCH(META("oifname"), "==", "\"@bridges\"")
#define ANSWERS        MATCH(CT("state"), "in", "[\"established\",\"related\"]")
#define TO_US          MATCH("{\"fib\":{\"result\":\"type\",\"flags\":[\"daddr\"]}}", "==", "\"local\"")
#define PORT_KEY       META("l4proto") "," FIELD("th", "dport")
#define TYPE4          "\"ipv4_addr\",\"inet_proto\",\"inet_service\""
#define TYPE6          "\"ipv6_addr\",\"inet_proto\",\"inet_service\""

static const char *const sets[] = {
	"\"set\":{" INET ",\"name\":\"bridges\",\"type\":\"ifname\"}",
	"\"set\":{" INET ",\"name\":\"internal\",\"type\":\"ifname\"}",
	"\"set\":{" INET ",\"name\":\"subnets4\",\"type\":\"ipv4_addr\",\"flags\":[\"interval\"]}",
	"\"set\":{" INET ",\"name\":\"subnets6\",\"type\":\"ipv6_addr\",\"flags\":[\"interval\"]}",
	"\"map\":{" INET ",\"name\":\"only4\",\"type\":\"ipv4_addr\",\"map\":\"verdict\"}",
	"\"map\":{" INET ",\"name\":\"only6\",\"type\":\"ipv6_addr\",\"map\":\"verdict\"}",
	"\"map\":{" INET ",\"name\":\"ports4\",\"type\":[" TYPE4 "],\"map\":\"verdict\"}",
	"\"map\":{" INET ",\"name\":\"ports6\",\"type\":[" TYPE6 "],\"map\":\"verdict\"}",
	"\"map\":{" INET ",\"name\":\"ports\",\"type\":[\"inet_proto\",\"inet_service\"],"
	"\"map\":\"verdict\"}",
	"\"map\":{" INET ",\"name\":\"dns4\",\"type\":\"ipv4_addr\",\"map\":\"verdict\"}",
	"\"set\":{" BRIDGE ",\"name\":\"own4\",\"type\":[\"ifname\",\"ether_addr\",\"ipv4_addr\"]}",
	"\"set\":{" BRIDGE ",\"name\":\"own6\",\"type\":[\"ifname\",\"ether_addr\",\"ipv6_addr\"]}",
	"\"set\":{" BRIDGE ",\"name\":\"alone\",\"type\":\"ifname\"}",
};

static const struct {
	const char *family, *name, *type, *hook;
	int priority;
} chains[] = {
	{ "inet", "forward", "filter", "forward", 0 },
	{ "inet", "input", "filter", "input", 0 },
	{ "inet", "prerouting", "nat", "prerouting", -100 },
	{ "inet", "postrouting", "nat", "postrouting", 100 },
	{ "bridge", "prerouting", "filter", "prerouting", -300 },
	{ "bridge", "forward", "filter", "forward", -200 },
};

/* In order. What a sandbox is sent, and what answers what is allowed, passes first; then what the
 * restricted ones begin is judged; and nothing from outside gets to a guest but by a port that was
 * published. */
static const struct {
	const char *family, *chain, *expressions;
} base[] = {
	{ "inet", "forward", FROM_BRIDGES "," ANSWERS "," ACCEPT },
	{ "inet", "forward", MATCH(META("iifname"), "==", "\"@internal\"") "," DROP },
	{ "inet", "forward", MATCH(META("oifname"), "==", "\"@internal\"") "," DROP },
	{ "inet", "forward", FROM_BRIDGES "," VMAP(FIELD("ip", "saddr"), "only4") },
	{ "inet", "forward", FROM_BRIDGES "," VMAP(FIELD("ip6", "saddr"), "only6") },
	{ "inet", "forward", TO_BRIDGES "," ANSWERS "," ACCEPT },
	{ "inet", "forward", TO_BRIDGES "," MATCH(CT("status"), "in", "\"dnat\"") "," ACCEPT },
	{ "inet", "forward", TO_BRIDGES "," DROP },
	{ "inet", "input", FROM_BRIDGES "," ANSWERS "," ACCEPT },
	{ "inet", "input",
	  FROM_BRIDGES "," MATCH(FIELD("icmpv6", "type"), "==",
				 "{\"set\":[\"nd-neighbor-solicit\",\"nd-neighbor-advert\",\"nd-"
				 "router-solicit\",\"mld2-listener-report\"]}") "," ACCEPT },
	{ "inet", "input", FROM_BRIDGES "," VMAP(FIELD("ip", "saddr"), "only4") },
	{ "inet", "input", FROM_BRIDGES "," VMAP(FIELD("ip6", "saddr"), "only6") },
	{ "inet", "prerouting",
	  FROM_BRIDGES "," TO_US "," MATCH(FIELD("th", "dport"),
					   "==", "53") "," VMAP(FIELD("ip", "saddr"), "dns4") },
	{ "inet", "prerouting", VMAP(CONCAT(FIELD("ip", "daddr") "," PORT_KEY), "ports4") },
	{ "inet", "prerouting", VMAP(CONCAT(FIELD("ip6", "daddr") "," PORT_KEY), "ports6") },
	{ "inet", "prerouting",
	  MATCH(META("iifname"), "!=", "\"@bridges\"") "," TO_US
						       "," VMAP(CONCAT(PORT_KEY), "ports") },
	{ "inet", "postrouting",
	  MATCH(META("oifname"), "!=", "\"@bridges\"") "," MATCH(
	      FIELD("ip", "saddr"), "==", "\"@subnets4\"") ",{\"masquerade\":null}" },
	{ "inet", "postrouting",
	  MATCH(META("oifname"), "!=", "\"@bridges\"") "," MATCH(
	      FIELD("ip6", "saddr"), "==", "\"@subnets6\"") ",{\"masquerade\":null}" },
	{ "bridge", "own",
	  MATCH(CONCAT(META("iifname") "," FIELD("ether", "saddr") "," FIELD("ip", "saddr")),
		"==", "\"@own4\"") "," ACCEPT },
	{ "bridge", "own",
	  MATCH(
	      CONCAT(META("iifname") "," FIELD("arp", "saddr ether") "," FIELD("arp", "saddr ip")),
	      "==", "\"@own4\"") "," ACCEPT },
	{ "bridge", "own", MATCH(FIELD("icmpv6", "type"), "==", "\"nd-router-advert\"") "," DROP },
	{ "bridge", "own",
	  MATCH(CONCAT(META("iifname") "," FIELD("ether", "saddr") "," FIELD("ip6", "saddr")),
		"==", "\"@own6\"") "," ACCEPT },
	{ "bridge", "own", DROP },
	{ "bridge", "prerouting",
	  MATCH(META("iifname"), "==", "\"kvt*\"") ",{\"jump\":{\"target\":\"own\"}}" },
	{ "bridge", "forward", MATCH(META("iifname"), "==", "\"@alone\"") "," DROP },
};

/* --- writing a batch --- */

__attribute__((format(printf, 2, 3))) static void put(struct rules *rules, const char *format, ...)
{
	va_list args;

	(void)fputs(rules->separator ? ",\n{" : "{", rules->out);
	rules->separator = true;
	va_start(args, format);
	(void)vfprintf(rules->out, format, args);
	va_end(args);
	(void)fputc('}', rules->out);
}

int rules_begin(struct rules *rules, struct error *err)
{
	*rules = (struct rules){ 0 };
	rules->out = open_memstream(&rules->text, &rules->size);
	if (!rules->out)
		return error_set(err, -ENOMEM, "write rules for nft: out of memory");
	(void)fputs("{\"nftables\":[\n", rules->out);
	return 0;
}

void rules_finish(struct rules *rules)
{
	if (rules->out)
		(void)fclose(rules->out);
	free(rules->text);
	*rules = (struct rules){ 0 };
}

void rules_add_base(struct rules *rules)
{
	put(rules, "\"add\":{\"table\":{\"family\":\"inet\",\"name\":\"katavm\"}}");
	put(rules, "\"add\":{\"table\":{\"family\":\"bridge\",\"name\":\"katavm\"}}");
	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
		put(rules, "\"add\":{%s}", sets[i]);
	for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
		put(rules,
		    "\"add\":{\"chain\":{\"family\":\"%s\",\"table\":\"katavm\",\"name\":\"%s\","
		    "\"type\":\"%s\",\"hook\":\"%s\",\"prio\":%d,\"policy\":\"accept\"}}",
		    chains[i].family, chains[i].name, chains[i].type, chains[i].hook,
		    chains[i].priority);
		put(rules,
		    "\"flush\":{\"chain\":{\"family\":\"%s\",\"table\":\"katavm\",\"name\":\"%s\"}"
		    "}",
		    chains[i].family, chains[i].name);
	}
	put(rules, "\"add\":{\"chain\":{" BRIDGE ",\"name\":\"own\"}}");
	put(rules, "\"flush\":{\"chain\":{" BRIDGE ",\"name\":\"own\"}}");
	for (size_t i = 0; i < sizeof base / sizeof base[0]; i++)
		put(rules,
		    "\"add\":{\"rule\":{\"family\":\"%s\",\"table\":\"katavm\",\"chain\":\"%s\","
		    "\"expr\":[%s]}}",
		    base[i].family, base[i].chain, base[i].expressions);
}

enum verb { ADD, REMOVE };

/* To remove is to add and to delete, because deleting what is not there undoes the whole batch. */
static void element(struct rules *rules, enum verb verb, const char *where, const char *set,
		    const char *format, ...) __attribute__((format(printf, 5, 6)));
static void element(struct rules *rules, enum verb verb, const char *where, const char *set,
		    const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	put(rules, "\"add\":{\"element\":{%s,\"name\":\"%s\",\"elem\":[%s]}}", where, set, text);
	if (verb == REMOVE)
		put(rules, "\"delete\":{\"element\":{%s,\"name\":\"%s\",\"elem\":[%s]}}", where,
		    set, text);
}

static void each_network(struct rules *rules, enum verb verb, const struct network *network)
{
	element(rules, verb, INET, "bridges", "\"%s\"", network->bridge);
	if (network->internal)
		element(rules, verb, INET, "internal", "\"%s\"", network->bridge);
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++) {
		const struct ip_prefix *subnet = &network->subnets[kind];
		char text[IP_TEXT_SIZE];

		if (subnet->ip.size && !network->internal)
			element(rules, verb, INET, kind == NETWORK_V4 ? "subnets4" : "subnets6",
				"{\"prefix\":{\"addr\":\"%s\",\"len\":%u}}",
				ip_print(&subnet->ip, text), subnet->length);
	}
}

void rules_add_network(struct rules *rules, const struct network *network)
{
	each_network(rules, ADD, network);
}

void rules_remove_network(struct rules *rules, const struct network *network)
{
	each_network(rules, REMOVE, network);
}

/* RFC 4291 appendix A: what the guest's kernel makes of its hardware address. */
static struct ip link_local(const uint8_t mac[IP_MAC_SIZE])
{
	return (struct ip){ .size = 16,
			    .bytes = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2],
				       0xff, 0xfe, mac[3], mac[4], mac[5] } };
}

static void own_addresses(struct rules *rules, enum verb verb, const struct lease *lease)
{
	const struct ip local = link_local(lease->mac);
	const struct ip *const all[] = { &lease->addresses[NETWORK_V4],
					 &lease->addresses[NETWORK_V6], &local };
	char mac[IP_MAC_TEXT_SIZE], text[IP_TEXT_SIZE];

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (all[i]->size)
			element(rules, verb, BRIDGE, all[i]->size == 4 ? "own4" : "own6",
				"{\"concat\":[\"%s\",\"%s\",\"%s\"]}", lease->tap,
				ip_print_mac(lease->mac, mac), ip_print(all[i], text));
}

static const char *protocol_of(const struct lease_port *port)
{
	return port->protocol == IPPROTO_UDP ? "udp" : "tcp";
}

/* Does the host's kernel pass it on, to the guest's address of this kind? Connections to loopback,
 * and all that the host makes itself, are the forwarder's. */
static bool is_translated(const struct lease *lease, const struct lease_port *port, size_t kind)
{
	return lease->addresses[kind].size &&
	       (!port->host.size || port->host.size == lease->addresses[kind].size) &&
	       !ip_is_loopback(&port->host);
}

static void add_translation(struct rules *rules, const struct lease *lease,
			    const struct lease_port *port, size_t kind)
{
	char guest[IP_TEXT_SIZE];

	put(rules,
	    "\"add\":{\"rule\":{" INET
	    ",\"chain\":\"nat-%.*s\",\"expr\":[" MATCH(META("l4proto"), "==", "\"%s\"") "," MATCH(
		FIELD("th", "dport"),
		"==", "%u") ",{\"dnat\":{\"family\":\"%s\",\"addr\":\"%s\",\"port\":%u}}]}}",
	    SHORT_ID, lease->id, protocol_of(port), port->host_port,
	    kind == NETWORK_V4 ? "ip" : "ip6", ip_print(&lease->addresses[kind], guest),
	    port->guest_port);
}

/* The ways into the chain. */
static void published(struct rules *rules, enum verb verb, const struct lease *lease,
		      const struct lease_port *port)
{
	char host[IP_TEXT_SIZE];

	if (!is_translated(lease, port, NETWORK_V4) && !is_translated(lease, port, NETWORK_V6))
		return;
	if (port->host.size)
		element(rules, verb, INET, port->host.size == 4 ? "ports4" : "ports6",
			"[{\"concat\":[\"%s\",\"%s\",%u]},{\"jump\":{\"target\":\"nat-%.*s\"}}]",
			ip_print(&port->host, host), protocol_of(port), port->host_port, SHORT_ID,
			lease->id);
	else
		element(rules, verb, INET, "ports",
			"[{\"concat\":[\"%s\",%u]},{\"jump\":{\"target\":\"nat-%.*s\"}}]",
			protocol_of(port), port->host_port, SHORT_ID, lease->id);
}

static void add_relay(struct rules *rules, const struct lease *lease)
{
	char guest[IP_TEXT_SIZE], host[IP_TEXT_SIZE];

	put(rules,
	    "\"add\":{\"rule\":{" INET ",\"chain\":\"nat-%.*s\",\"expr\":[" MATCH(
		FIELD("ip", "saddr"), "==",
		"\"%s\"") "," MATCH(META("l4proto"), "==",
				    "{\"set\":[\"tcp\",\"udp\"]}") "," MATCH(FIELD("th", "dport"),
									     "==",
									     "53") ",{\"dnat\":{"
										   "\"family\":"
										   "\"ip\","
										   "\"addr\":\"%"
										   "s\",\"port\":%"
										   "u}}]}}",
	    SHORT_ID, lease->id, ip_print(&lease->addresses[NETWORK_V4], guest),
	    ip_print(&lease->dns_relay, host), lease->dns_relay_port);
}

/* Its chain of translations: nothing is there when nothing is to be translated. */
static void translate(struct rules *rules, enum verb verb, const struct lease *lease)
{
	char guest[IP_TEXT_SIZE];

	if (lease->port_count == 0 && !lease->dns_relay.size)
		return;
	put(rules, "\"add\":{\"chain\":{" INET ",\"name\":\"nat-%.*s\"}}", SHORT_ID, lease->id);
	put(rules, "\"flush\":{\"chain\":{" INET ",\"name\":\"nat-%.*s\"}}", SHORT_ID, lease->id);
	for (size_t i = 0; i < lease->port_count; i++) {
		for (size_t kind = 0; verb == ADD && kind < NETWORK_KINDS; kind++)
			if (is_translated(lease, &lease->ports[i], kind))
				add_translation(rules, lease, &lease->ports[i], kind);
		published(rules, verb, lease, &lease->ports[i]);
	}
	if (lease->dns_relay.size) {
		if (verb == ADD)
			add_relay(rules, lease);
		element(rules, verb, INET, "dns4", "[\"%s\",{\"jump\":{\"target\":\"nat-%.*s\"}}]",
			ip_print(&lease->addresses[NETWORK_V4], guest), SHORT_ID, lease->id);
	}
	if (verb == REMOVE)
		put(rules, "\"delete\":{\"chain\":{" INET ",\"name\":\"nat-%.*s\"}}", SHORT_ID,
		    lease->id);
}

/* Its chain and counter, and the jump to them for whatever it sends. */
static void restrict_to_chain(struct rules *rules, enum verb verb, const struct lease *lease)
{
	const struct ip local = link_local(lease->mac);
	const struct ip *const six[] = { &lease->addresses[NETWORK_V6], &local };
	char text[IP_TEXT_SIZE];

	put(rules, "\"add\":{\"counter\":{" INET ",\"name\":\"denied-%.*s\"}}", SHORT_ID,
	    lease->id);
	put(rules, "\"add\":{\"chain\":{" INET ",\"name\":\"only-%.*s\"}}", SHORT_ID, lease->id);
	element(rules, verb, INET, "only4", "[\"%s\",{\"jump\":{\"target\":\"only-%.*s\"}}]",
		ip_print(&lease->addresses[NETWORK_V4], text), SHORT_ID, lease->id);
	for (size_t i = 0; i < 2; i++)
		if (six[i]->size)
			element(rules, verb, INET, "only6",
				"[\"%s\",{\"jump\":{\"target\":\"only-%.*s\"}}]",
				ip_print(six[i], text), SHORT_ID, lease->id);
	element(rules, verb, BRIDGE, "alone", "\"%s\"", lease->tap);
	if (verb == REMOVE) {
		put(rules, "\"flush\":{\"chain\":{" INET ",\"name\":\"only-%.*s\"}}", SHORT_ID,
		    lease->id);
		put(rules, "\"delete\":{\"chain\":{" INET ",\"name\":\"only-%.*s\"}}", SHORT_ID,
		    lease->id);
		put(rules, "\"delete\":{\"counter\":{" INET ",\"name\":\"denied-%.*s\"}}", SHORT_ID,
		    lease->id);
	}
}

static void each_lease(struct rules *rules, enum verb verb, const struct lease *lease)
{
	own_addresses(rules, verb, lease);
	translate(rules, verb, lease);
	if (lease->restricted)
		restrict_to_chain(rules, verb, lease);
}

void rules_add_lease(struct rules *rules, const struct lease *lease)
{
	each_lease(rules, ADD, lease);
}

void rules_remove_lease(struct rules *rules, const struct lease *lease)
{
	each_lease(rules, REMOVE, lease);
}

static void add_target(struct rules *rules, const struct lease *lease,
		       const struct rules_target *target)
{
	const char *family = target->ip.size == 4 ? "ip" : "ip6";
	char ip[IP_TEXT_SIZE], port[256] = "";

	if (target->port)
		(void)snprintf(
		    port, sizeof port,
		    MATCH(META("l4proto"), "==", "{\"set\":[\"tcp\",\"udp\"]}") "," MATCH(
			FIELD("th", "dport"), "==", "%u") ",",
		    target->port);
	put(rules,
	    "\"add\":{\"rule\":{" INET
	    ",\"chain\":\"only-%.*s\",\"expr\":[{\"match\":{\"op\":\"==\","
	    "\"left\":{\"payload\":{\"protocol\":\"%s\",\"field\":\"daddr\"}},\"right\":\"%s\"}},%"
	    "s" ACCEPT "]}}",
	    SHORT_ID, lease->id, family, ip_print(&target->ip, ip), port);
}

/* What is denied is answered: a program that hears "prohibited" does not wait. */
void rules_add_targets(struct rules *rules, const struct lease *lease,
		       const struct rules_target *targets, size_t count, uint16_t log_group)
{
	for (size_t i = 0; i < count; i++)
		add_target(rules, lease, &targets[i]);
	if (log_group)
		put(rules,
		    "\"add\":{\"rule\":{" INET ",\"chain\":\"only-%.*s\",\"expr\":["
		    "{\"limit\":{\"rate\":%d,\"per\":\"second\",\"burst\":%d}},"
		    "{\"log\":{\"group\":%u,\"snaplen\":%d}}]}}",
		    SHORT_ID, lease->id, LOGGED_A_SECOND, LOGGED_A_SECOND, log_group, DENIALS_HEAD);
	put(rules,
	    "\"add\":{\"rule\":{" INET
	    ",\"chain\":\"only-%.*s\",\"expr\":[{\"counter\":\"denied-%.*s\"},"
	    "{\"reject\":{\"type\":\"icmpx\",\"expr\":\"admin-prohibited\"}}]}}",
	    SHORT_ID, lease->id, SHORT_ID, lease->id);
}

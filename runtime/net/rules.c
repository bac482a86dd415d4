#include "runtime/net/rules_private.h"

#include "base/sys.h"
#include "runtime/net/denials.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_ID = 12, LOGGED_A_SECOND = 50 };

/* --- writing a batch --- */

void rules_put(struct rules *rules, const char *format, ...)
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
	rules_put(rules, "\"add\":{\"element\":{%s,\"name\":\"%s\",\"elem\":[%s]}}", where, set,
		  text);
	if (verb == REMOVE)
		rules_put(rules, "\"delete\":{\"element\":{%s,\"name\":\"%s\",\"elem\":[%s]}}",
			  where, set, text);
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

	rules_put(
	    rules,
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

	rules_put(
	    rules,
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
	rules_put(rules, "\"add\":{\"chain\":{" INET ",\"name\":\"nat-%.*s\"}}", SHORT_ID,
		  lease->id);
	rules_put(rules, "\"flush\":{\"chain\":{" INET ",\"name\":\"nat-%.*s\"}}", SHORT_ID,
		  lease->id);
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
		rules_put(rules, "\"delete\":{\"chain\":{" INET ",\"name\":\"nat-%.*s\"}}",
			  SHORT_ID, lease->id);
}

/* Its chain and counter, and the jump to them for whatever it sends. */
static void restrict_to_chain(struct rules *rules, enum verb verb, const struct lease *lease)
{
	const struct ip local = link_local(lease->mac);
	const struct ip *const six[] = { &lease->addresses[NETWORK_V6], &local };
	char text[IP_TEXT_SIZE];

	rules_put(rules, "\"add\":{\"counter\":{" INET ",\"name\":\"denied-%.*s\"}}", SHORT_ID,
		  lease->id);
	rules_put(rules, "\"add\":{\"chain\":{" INET ",\"name\":\"only-%.*s\"}}", SHORT_ID,
		  lease->id);
	element(rules, verb, INET, "only4", "[\"%s\",{\"jump\":{\"target\":\"only-%.*s\"}}]",
		ip_print(&lease->addresses[NETWORK_V4], text), SHORT_ID, lease->id);
	for (size_t i = 0; i < 2; i++)
		if (six[i]->size)
			element(rules, verb, INET, "only6",
				"[\"%s\",{\"jump\":{\"target\":\"only-%.*s\"}}]",
				ip_print(six[i], text), SHORT_ID, lease->id);
	element(rules, verb, BRIDGE, "alone", "\"%s\"", lease->tap);
	if (verb == REMOVE) {
		rules_put(rules, "\"flush\":{\"chain\":{" INET ",\"name\":\"only-%.*s\"}}",
			  SHORT_ID, lease->id);
		rules_put(rules, "\"delete\":{\"chain\":{" INET ",\"name\":\"only-%.*s\"}}",
			  SHORT_ID, lease->id);
		rules_put(rules, "\"delete\":{\"counter\":{" INET ",\"name\":\"denied-%.*s\"}}",
			  SHORT_ID, lease->id);
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

/* First in the chain. */
static void insert_target(struct rules *rules, const struct lease *lease,
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
	rules_put(
	    rules,
	    "\"insert\":{\"rule\":{" INET
	    ",\"chain\":\"only-%.*s\",\"expr\":[{\"match\":{\"op\":\"==\","
	    "\"left\":{\"payload\":{\"protocol\":\"%s\",\"field\":\"daddr\"}},\"right\":\"%s\"}},%"
	    "s" ACCEPT "]}}",
	    SHORT_ID, lease->id, family, ip_print(&target->ip, ip), port);
}

void rules_insert_targets(struct rules *rules, const struct lease *lease,
			  const struct rules_target *targets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		insert_target(rules, lease, &targets[i]);
}

/* What is denied is answered: a program that hears "prohibited" does not wait. */
void rules_add_targets(struct rules *rules, const struct lease *lease,
		       const struct rules_target *targets, size_t count, uint16_t log_group)
{
	rules_insert_targets(rules, lease, targets, count);
	if (log_group)
		rules_put(rules,
			  "\"add\":{\"rule\":{" INET ",\"chain\":\"only-%.*s\",\"expr\":["
			  "{\"limit\":{\"rate\":%d,\"per\":\"second\",\"burst\":%d}},"
			  "{\"log\":{\"group\":%u,\"snaplen\":%d}}]}}",
			  SHORT_ID, lease->id, LOGGED_A_SECOND, LOGGED_A_SECOND, log_group,
			  DENIALS_HEAD);
	rules_put(rules,
		  "\"add\":{\"rule\":{" INET
		  ",\"chain\":\"only-%.*s\",\"expr\":[{\"counter\":\"denied-%.*s\"},"
		  "{\"reject\":{\"type\":\"icmpx\",\"expr\":\"admin-prohibited\"}}]}}",
		  SHORT_ID, lease->id, SHORT_ID, lease->id);
}

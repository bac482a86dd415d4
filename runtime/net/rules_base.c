/*
 * The fixed part of the tables, and whether it is there. Writing it is most of what nft has to do
 * for a start, so that the kernel is asked for the chains first: each has to be used by as many
 * rules as were written, and a chain whose name comes from the text of all of them is the mark of
 * this version of them.
 */
#include "base/netlink.h"
#include "runtime/net/rules_private.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>

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

#define MARK_START "version-"
enum { MARK_SIZE = sizeof MARK_START + 8 };

static uint32_t mix(uint32_t hash, const char *text)
{
	do
		hash = (hash ^ (uint8_t)*text) * 16777619U;
	while (*text++);
	return hash;
}

/* FNV-1a of all that is written. */
static const char *mark(char name[MARK_SIZE])
{
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
		hash = mix(hash, sets[i]);
	for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++)
		hash = mix(mix(mix(mix(hash, chains[i].family), chains[i].name), chains[i].type),
			   chains[i].hook) +
		       (uint32_t)chains[i].priority;
	for (size_t i = 0; i < sizeof base / sizeof base[0]; i++)
		hash = mix(mix(mix(hash, base[i].family), base[i].chain), base[i].expressions);
	(void)snprintf(name, MARK_SIZE, MARK_START "%08x", hash);
	return name;
}

void rules_add_base(struct rules *rules)
{
	char name[MARK_SIZE];

	rules_put(rules, "\"add\":{\"table\":{\"family\":\"inet\",\"name\":\"katavm\"}}");
	rules_put(rules, "\"add\":{\"table\":{\"family\":\"bridge\",\"name\":\"katavm\"}}");
	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
		rules_put(rules, "\"add\":{%s}", sets[i]);
	for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
		rules_put(
		    rules,
		    "\"add\":{\"chain\":{\"family\":\"%s\",\"table\":\"katavm\",\"name\":\"%s\","
		    "\"type\":\"%s\",\"hook\":\"%s\",\"prio\":%d,\"policy\":\"accept\"}}",
		    chains[i].family, chains[i].name, chains[i].type, chains[i].hook,
		    chains[i].priority);
		rules_put(
		    rules,
		    "\"flush\":{\"chain\":{\"family\":\"%s\",\"table\":\"katavm\",\"name\":\"%s\"}"
		    "}",
		    chains[i].family, chains[i].name);
	}
	rules_put(rules, "\"add\":{\"chain\":{" BRIDGE ",\"name\":\"own\"}}");
	rules_put(rules, "\"flush\":{\"chain\":{" BRIDGE ",\"name\":\"own\"}}");
	for (size_t i = 0; i < sizeof base / sizeof base[0]; i++)
		rules_put(
		    rules,
		    "\"add\":{\"rule\":{\"family\":\"%s\",\"table\":\"katavm\",\"chain\":\"%s\","
		    "\"expr\":[%s]}}",
		    base[i].family, base[i].chain, base[i].expressions);
	rules_put(rules, "\"add\":{\"chain\":{" INET ",\"name\":\"%s\"}}", mark(name));
}

/* --- is it there --- */

static unsigned wanted_use(const char *family, const char *chain)
{
	unsigned count = strcmp(chain, "own") == 0; /* jumped to once */

	for (size_t i = 0; i < sizeof base / sizeof base[0]; i++)
		count += strcmp(base[i].family, family) == 0 && strcmp(base[i].chain, chain) == 0;
	return count;
}

struct found {
	const char *mark;
	size_t whole; /* chains that are as they have to be */
	bool marked;
	size_t stale_count; /* marks of other versions, as many as fit */
	char stale[4][MARK_SIZE];
};

static bool read_text(const void *attributes, size_t size, uint16_t type, char *out, size_t room)
{
	struct netlink_attribute one;

	if (!netlink_find(attributes, size, type, &one) || one.size == 0 || one.size > room)
		return false;
	memcpy(out, one.data, one.size);
	out[one.size - 1] = '\0';
	return true;
}

static void look_at_mark(struct found *found, const char *name)
{
	if (strcmp(name, found->mark) == 0)
		found->marked = true;
	else if (strncmp(name, MARK_START, strlen(MARK_START)) == 0 &&
		 found->stale_count < sizeof found->stale / sizeof found->stale[0])
		memcpy(found->stale[found->stale_count++], name, MARK_SIZE);
}

static int look_at_chain(void *context, uint16_t type, const void *header, const void *attributes,
			 size_t size)
{
	const struct nfgenmsg *family = header;
	const char *text = family->nfgen_family == NFPROTO_BRIDGE ? "bridge" : "inet";
	struct netlink_attribute use;
	char table[16], name[MARK_SIZE] = "";
	unsigned wanted;
	uint32_t count;

	(void)type;
	if (!read_text(attributes, size, NFTA_CHAIN_TABLE, table, sizeof table) ||
	    strcmp(table, "katavm") != 0 ||
	    !read_text(attributes, size, NFTA_CHAIN_NAME, name, sizeof name))
		return 0;
	if (family->nfgen_family == NFPROTO_INET)
		look_at_mark(context, name);
	wanted = wanted_use(text, name);
	if (wanted && netlink_find(attributes, size, NFTA_CHAIN_USE, &use) &&
	    use.size == sizeof count) {
		memcpy(&count, use.data, sizeof count);
		((struct found *)context)->whole += ntohl(count) == wanted;
	}
	return 0;
}

static int look_at_family(struct netlink *netlink, uint8_t family, struct found *found)
{
	const struct nfgenmsg header = { .nfgen_family = family };
	struct netlink_message message;

	netlink_begin(&message, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP, &header,
		      sizeof header);
	return netlink_ask(netlink, &message, sizeof header, look_at_chain, found);
}

void rules_need_base(struct rules *rules)
{
	char name[MARK_SIZE];
	struct found found = { .mark = mark(name) };
	own_netlink netlink = NETLINK_CLOSED;
	int r = netlink_open(NETLINK_NETFILTER, &netlink);

	if (r == 0)
		r = look_at_family(&netlink, NFPROTO_INET, &found);
	if (r == 0)
		r = look_at_family(&netlink, NFPROTO_BRIDGE, &found);
	if (r == 0 && found.marked && found.stale_count == 0 &&
	    found.whole == sizeof chains / sizeof chains[0] + 1)
		return;
	rules_add_base(rules);
	for (size_t i = 0; i < found.stale_count; i++)
		rules_put(rules, "\"delete\":{\"chain\":{" INET ",\"name\":\"%s\"}}",
			  found.stale[i]);
}

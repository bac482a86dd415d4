#include "runtime/net/denials.h"

#include "base/sys.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

enum {
	FIRST_GROUP = 0x4000, /* the small numbers are given to loggers by hand */
	GROUP_TRIES = 64,
	READS_MAX = 64, /* in one turn */
	DATAGRAM_SIZE = 4096
};

/* linux/netfilter/nfnetlink_log.h: a group is taken by binding to it, and free again when the
 * socket is closed; -EBUSY: it is another's. */
static int bind_group(struct netlink *netlink, uint16_t group)
{
	const struct nfgenmsg header = { .nfgen_family = AF_UNSPEC, .res_id = htons(group) };
	const struct nfulnl_msg_config_cmd bind_it = { .command = NFULNL_CFG_CMD_BIND };
	const struct nfulnl_msg_config_mode mode = { .copy_range = htonl(DENIALS_HEAD),
						     .copy_mode = NFULNL_COPY_PACKET };
	struct netlink_message message;

	netlink_begin(&message, NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, 0, &header,
		      sizeof header);
	netlink_put(&message, NFULA_CFG_CMD, &bind_it, sizeof bind_it);
	netlink_put(&message, NFULA_CFG_MODE, &mode, sizeof mode);
	netlink_put_u32(&message, NFULA_CFG_QTHRESH, htonl(1)); /* each at once */
	return netlink_request(netlink, &message);
}

static int take_group(struct denials *denials)
{
	uint16_t start = 0;
	int r = -EBUSY;

	(void)SYS(getrandom, &start, sizeof start, 0);
	for (int i = 0; r == -EBUSY && i < GROUP_TRIES; i++) {
		denials->group = (uint16_t)(start + i) | FIRST_GROUP;
		r = bind_group(&denials->netlink, denials->group);
	}
	return r;
}

int denials_open(struct denials *out, struct error *err)
{
	int r;

	*out = DENIALS_NONE;
	r = netlink_open(NETLINK_NETFILTER, &out->netlink);
	if (r == 0)
		r = take_group(out);
	if (r == 0)
		return 0;
	denials_close(out);
	return error_set(err, r, "a log group of the host's packet filter: %s", sys_text(r));
}

void denials_close(struct denials *denials)
{
	netlink_close(&denials->netlink);
	*denials = DENIALS_NONE;
}

static bool has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* RFC 791, RFC 8200; of IPv6, extension headers hide the port. */
bool denial_parse(const uint8_t *packet, size_t size, struct denial *out)
{
	uint8_t version = size > 0 ? packet[0] >> 4 : 0;
	size_t header = version == 4 ? (size_t)(packet[0] & 15) * 4 : 40;
	bool first = true; /* of the packet's fragments: the others have no ports */

	*out = (struct denial){ 0 };
	if ((version != 4 && version != 6) || header < 20 || size < header)
		return false;
	if (version == 4) {
		first = (packet[6] & 0x1f) == 0 && packet[7] == 0;
		out->protocol = packet[9];
		out->destination.size = 4;
		memcpy(out->destination.bytes, packet + 16, 4);
	} else {
		out->protocol = packet[6];
		out->destination.size = 16;
		memcpy(out->destination.bytes, packet + 24, 16);
	}
	if (first && has_ports(out->protocol) && size >= header + 4)
		out->port = (uint16_t)(packet[header + 2] << 8 | packet[header + 3]);
	return true;
}

static bool is_same(const struct denial *a, const struct denial *b)
{
	return a->port == b->port && a->protocol == b->protocol &&
	       ip_equal(&a->destination, &b->destination);
}

static void describe(const struct denial *denial, char *text, size_t size)
{
	static const struct {
		uint8_t number;
		const char *name;
	} protocols[] = { { IPPROTO_TCP, "TCP" },
			  { IPPROTO_UDP, "UDP" },
			  { IPPROTO_ICMP, "ICMP" },
			  { IPPROTO_ICMPV6, "ICMP" } };
	const bool six = denial->destination.size == 16;
	char ip[IP_TEXT_SIZE], port[8] = "", protocol[24];

	(void)snprintf(protocol, sizeof protocol, "IP protocol %u", denial->protocol);
	for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++)
		if (protocols[i].number == denial->protocol)
			(void)snprintf(protocol, sizeof protocol, "%s", protocols[i].name);
	if (denial->port)
		(void)snprintf(port, sizeof port, ":%u", denial->port);
	(void)snprintf(text, size, "denied: %s to %s%s%s%s (--allow-host)", protocol,
		       six && denial->port ? "[" : "", ip_print(&denial->destination, ip),
		       six && denial->port ? "]" : "", port);
}

static void take(struct denials *denials, const struct denial *one,
		 void (*say)(void *context, const char *sentence), void *context)
{
	char text[160];

	for (size_t i = 0; i < denials->count; i++)
		if (is_same(&denials->seen[i], one))
			return;
	if (denials->count == DENIALS_MAX) {
		if (!denials->overflow)
			say(context, "denied: more destinations, which are not named any more "
				     "(--allow-host)");
		denials->overflow = true;
		return;
	}
	denials->seen[denials->count++] = *one;
	describe(one, text, sizeof text);
	say(context, text);
}

/* One message a datagram, for the threshold is one. */
static bool parse_datagram(const uint8_t *bytes, size_t size, struct denial *out)
{
	const size_t before = NLMSG_SPACE(sizeof(struct nfgenmsg));
	const struct nlmsghdr *head = (const void *)bytes;
	struct netlink_attribute payload;

	return size >= before && head->nlmsg_len <= size && head->nlmsg_len >= before &&
	       head->nlmsg_type == (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) &&
	       netlink_find(bytes + before, head->nlmsg_len - before, NFULA_PAYLOAD, &payload) &&
	       denial_parse(payload.data, payload.size, out);
}

void denials_read(struct denials *denials, void (*say)(void *context, const char *sentence),
		  void *context)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[DATAGRAM_SIZE];
	struct denial one;

	for (int i = 0; i < READS_MAX; i++) {
		long got = SYS_RETRY(recv, denials->netlink.fd, bytes, sizeof bytes, MSG_DONTWAIT);

		if (got == -ENOBUFS) /* some were lost; the counter has them */
			continue;
		if (got < 0)
			return;
		if (parse_datagram(bytes, (size_t)got, &one))
			take(denials, &one, say, context);
	}
}

#pragma once
#include "base/error.h"
#include "base/netlink.h"
#include "runtime/net/ip.h"

#include <stdbool.h>

/*
 * What --allow-host denied, told while it happens: the rules send the head of such packets to a log
 * group of the host's kernel (nfnetlink_log) that is this sandbox's own, and a destination that was
 * not seen before makes a sentence. The packets are the guest's, and so is every byte of them; how
 * many come is limited by the rules, how many are remembered by DENIALS_MAX. One thread.
 */
enum { DENIALS_MAX = 64, DENIALS_HEAD = 128 /* bytes of a packet that are looked at */ };

struct denial {
	struct ip destination;
	uint8_t protocol; /* IPPROTO_ */
	uint16_t port;    /* 0: the protocol has none, or it is not in the packet */
};

struct denials {
	struct netlink netlink;
	uint16_t group; /* for the rules */
	bool overflow;  /* more than DENIALS_MAX, which was said */
	size_t count;
	struct denial seen[DENIALS_MAX];
};

/* Takes a log group that nobody has. */
int denials_open(struct denials *out, struct error *err);
/* Accepts one that was only DENIALS_NONE. */
void denials_close(struct denials *denials);
#define DENIALS_NONE ((struct denials){ .netlink = NETLINK_CLOSED })

/* When netlink.fd is readable: says each new destination. */
void denials_read(struct denials *denials, void (*say)(void *context, const char *sentence),
		  void *context);

/* Where an IPv4 or IPv6 packet goes; false: it is neither. */
bool denial_parse(const uint8_t *packet, size_t size, struct denial *out);

#pragma once
#include "base/error.h"
#include "runtime/net/ip.h"

#include <limits.h>
#include <net/if.h>
#include <stdbool.h>

/*
 * Networks that containers are put on: a bridge of the host, a network of each kind of address, and
 * a name. They are kept as one JSON file each, for as long as the user wants; the bridge itself is
 * made when somebody needs it. Functions that change something want the lock of lease.h held.
 */
enum { NETWORK_NAME_SIZE = 64, NETWORK_MTU = 1500, NETWORK_FILE_MAX = 16 << 10 };
#define NETWORK_DEFAULT "default"

enum network_kind { NETWORK_V4, NETWORK_V6, NETWORK_KINDS };

struct network {
	char name[NETWORK_NAME_SIZE];
	char bridge[IF_NAMESIZE];
	struct ip_prefix subnets[NETWORK_KINDS]; /* the network's own address; v6 may be missing */
	struct ip gateways[NETWORK_KINDS];       /* the bridge's */
	uint32_t mtu;
	bool internal; /* nothing leaves it */
};

/* Letters, digits, _ . and -, the first a letter or digit; not a word that --network knows. */
int network_check_name(const char *name, struct error *err);

/* -ENOENT: there is no network of that name. */
int network_load(const char *name, struct network *out, struct error *err);

/* What a file says; -EINVAL when that is not a network. */
int network_parse(const char *text, size_t size, struct network *out);

struct network_wish {
	const char *name;
	const char *subnets[NETWORK_KINDS]; /* as text, or NULL: chosen among what nobody uses */
	const char *gateway;                /* of IPv4; NULL: the first address */
	const char *mtu;                    /* or NULL */
	bool internal, no_v6;
};

/* Chooses what is left open and writes the file. -EEXIST: the name is taken. */
int network_create(const struct network_wish *wish, struct network *out, struct error *err);
int network_remove(const char *name, struct error *err);

/* Calls each for every network, in the order of their names, until it returns other than 0; gives
 * that. Files that cannot be read are passed over. */
int network_each(int (*each)(void *context, const struct network *network), void *context,
		 struct error *err);

/* Makes what the host needs for it: the bridge with its addresses, raised, and forwarding.
 * *out_index is the bridge's. */
int network_raise(const struct network *network, int *out_index, struct error *err);
int network_lower(const struct network *network, struct error *err);

/* The hardware address that goes with an IPv4 address: of guests and of bridges. */
void network_mac(const struct ip *ip, uint8_t out[IP_MAC_SIZE]);

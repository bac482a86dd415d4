#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses of both kinds. A value; zeroed it is no address. */
struct ip {
	uint8_t size; /* 4, 16; 0: none */
	uint8_t bytes[16];
};

/* A network: bits of ip, or an address on it. */
struct ip_prefix {
	struct ip ip;
	uint8_t length;
};

enum { IP_TEXT_SIZE = 46, IP_MAC_SIZE = 6, IP_MAC_TEXT_SIZE = 18 };

/* All of text is an address. */
bool ip_parse(const char *text, struct ip *out);
/* ADDRESS/BITS; the bits behind the network may be set. */
bool ip_parse_prefix(const char *text, struct ip_prefix *out);
/* Into a buffer of IP_TEXT_SIZE bytes; gives that. */
char *ip_print(const struct ip *ip, char out[IP_TEXT_SIZE]);

bool ip_equal(const struct ip *left, const struct ip *right);
bool ip_is_loopback(const struct ip *ip);
/* Is it of this network? */
bool ip_within(const struct ip *ip, const struct ip_prefix *network);
/* Have the two any address in common? */
bool ip_overlap(const struct ip_prefix *left, const struct ip_prefix *right);
/* The network's address number `index`; 0 is the network's own. Only the last 32 bits count up. */
struct ip ip_at(const struct ip_prefix *network, uint32_t index);

/* aa:bb:cc:dd:ee:ff of one interface (not of a group). */
bool ip_parse_mac(const char *text, uint8_t out[IP_MAC_SIZE]);
char *ip_print_mac(const uint8_t mac[IP_MAC_SIZE], char out[IP_MAC_TEXT_SIZE]);

#include "runtime/net/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ip_parse(const char *text, struct ip *out)
{
	struct ip ip = { 0 };

	if (inet_pton(AF_INET, text, ip.bytes) == 1)
		ip.size = 4;
	else if (inet_pton(AF_INET6, text, ip.bytes) == 1)
		ip.size = 16;
	else
		return false;
	*out = ip;
	return true;
}

bool ip_parse_prefix(const char *text, struct ip_prefix *out)
{
	const char *slash = strchr(text, '/');
	char address[IP_TEXT_SIZE];
	struct ip_prefix prefix;
	unsigned long length;
	char *end;

	if (!slash || (size_t)(slash - text) >= sizeof address || slash[1] < '0' || slash[1] > '9')
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	length = strtoul(slash + 1, &end, 10);
	if (*end != '\0' || !ip_parse(address, &prefix.ip) || length > 8UL * prefix.ip.size)
		return false;
	prefix.length = (uint8_t)length;
	*out = prefix;
	return true;
}

char *ip_print(const struct ip *ip, char out[IP_TEXT_SIZE])
{
	out[0] = '\0';
	if (ip->size > 0)
		(void)inet_ntop(ip->size == 4 ? AF_INET : AF_INET6, ip->bytes, out, IP_TEXT_SIZE);
	return out;
}

bool ip_equal(const struct ip *left, const struct ip *right)
{
	return left->size == right->size && memcmp(left->bytes, right->bytes, left->size) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
	static const uint8_t six[16] = { [15] = 1 };

	return (ip->size == 4 && ip->bytes[0] == 127) ||
	       (ip->size == 16 && memcmp(ip->bytes, six, sizeof six) == 0);
}

static bool same_bits(const struct ip *left, const struct ip *right, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (left->size != right->size || memcmp(left->bytes, right->bytes, whole) != 0)
		return false;
	return rest == 0 || ((left->bytes[whole] ^ right->bytes[whole]) >> (8 - rest)) == 0;
}

bool ip_within(const struct ip *ip, const struct ip_prefix *network)
{
	return same_bits(ip, &network->ip, network->length);
}

bool ip_overlap(const struct ip_prefix *left, const struct ip_prefix *right)
{
	return same_bits(&left->ip, &right->ip,
			 left->length < right->length ? left->length : right->length);
}

struct ip ip_at(const struct ip_prefix *network, uint32_t index)
{
	struct ip ip = network->ip;

	for (unsigned bit = network->length; bit < 8U * ip.size; bit++)
		ip.bytes[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
	for (unsigned i = 0; i < 4; i++)
		ip.bytes[ip.size - 1 - i] |= (uint8_t)(index >> 8 * i);
	return ip;
}

bool ip_parse_mac(const char *text, uint8_t out[IP_MAC_SIZE])
{
	uint8_t mac[IP_MAC_SIZE];

	if (strlen(text) != IP_MAC_TEXT_SIZE - 1 ||
	    strspn(text, "0123456789abcdefABCDEF:") != IP_MAC_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < IP_MAC_SIZE; i++) {
		const char *at = text + 3 * i;

		if (at[0] == ':' || at[1] == ':' || at[2] != (i + 1 < IP_MAC_SIZE ? ':' : '\0'))
			return false;
		mac[i] = (uint8_t)strtoul(at, NULL, 16);
	}
	if (mac[0] & 1)
		return false;
	memcpy(out, mac, IP_MAC_SIZE);
	return true;
}

char *ip_print_mac(const uint8_t mac[IP_MAC_SIZE], char out[IP_MAC_TEXT_SIZE])
{
	(void)snprintf(out, IP_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		       mac[2], mac[3], mac[4], mac[5]);
	return out;
}

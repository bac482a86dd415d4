#include "runtime/net/denials.h"
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>

static struct denial one;

static const uint8_t udp4[] = { 0x45, 0, 0,   32, 0, 0, 0x40, 0,    64,   17,   0, 0,  10, 0,
				0,    2, 192, 0,  2, 8, 0x9c, 0x40, 0x1b, 0x58, 0, 12, 0,  0 };
static const uint8_t tcp6[] = { 0x60, 0, 0, 0, 0, 20, 6, 64, 0xfd, 0,    0,    0,  0,    0,   0,
				0,    0, 0, 0, 0, 0,  0, 0,  2,    0x20, 0x01, 13, 0xb8, 0,   0,
				0,    0, 0, 0, 0, 0,  0, 0,  0,    1,    0x9c, 0,  0x01, 0xbb };

static bool goes_to(const char *ip, uint8_t protocol, uint16_t port)
{
	struct ip expected;

	return ip_parse(ip, &expected) && ip_equal(&one.destination, &expected) &&
	       one.protocol == protocol && one.port == port;
}

Test(denials, destinations)
{
	cr_assert(denial_parse(udp4, sizeof udp4, &one));
	cr_assert(goes_to("192.0.2.8", IPPROTO_UDP, 7000));
	cr_assert(denial_parse(tcp6, sizeof tcp6, &one));
	cr_assert(goes_to("2001:db8::1", IPPROTO_TCP, 443));
}

/* Options move the ports; later fragments have none; other protocols, neither. */
Test(denials, where_ports_are)
{
	uint8_t packet[32] = { 0 };

	memcpy(packet, udp4, 20);
	packet[0] = 0x46;
	memcpy(packet + 24, udp4 + 20, 8);
	cr_assert(denial_parse(packet, sizeof packet, &one));
	cr_assert(goes_to("192.0.2.8", IPPROTO_UDP, 7000));
	packet[7] = 1;
	cr_assert(denial_parse(packet, sizeof packet, &one));
	cr_assert(goes_to("192.0.2.8", IPPROTO_UDP, 0));
	packet[7] = 0;
	packet[9] = IPPROTO_ICMP;
	cr_assert(denial_parse(packet, sizeof packet, &one));
	cr_assert(goes_to("192.0.2.8", IPPROTO_ICMP, 0));
}

/* A guest writes what it likes. */
Test(denials, cut_and_foreign)
{
	uint8_t packet[sizeof udp4];

	for (size_t size = 0; size < 20; size++)
		cr_assert_not(denial_parse(udp4, size, &one));
	for (size_t size = 20; size < 24; size++) {
		cr_assert(denial_parse(udp4, size, &one));
		cr_assert_eq(one.port, 0);
	}
	for (size_t size = 0; size < 40; size++)
		cr_assert_not(denial_parse(tcp6, size, &one));
	memcpy(packet, udp4, sizeof packet);
	packet[0] = 0x44; /* a header shorter than a header */
	cr_assert_not(denial_parse(packet, sizeof packet, &one));
	packet[0] = 0x4f; /* longer than the packet */
	cr_assert_not(denial_parse(packet, sizeof packet, &one));
	packet[0] = 0x55;
	cr_assert_not(denial_parse(packet, sizeof packet, &one));
}

#include "base/own.h"
#include "runtime/net/publish.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static struct error err;
static struct publish one;

static void good(const char *text, uint16_t host, uint16_t guest, uint16_t count, uint8_t protocol)
{
	cr_assert_eq(publish_parse(text, &one, &err), 0, "%s: %s", text, err.text);
	cr_assert(one.host_first == host && one.guest_first == guest && one.count == count &&
		      one.protocol == protocol,
		  "%s", text);
}

Test(publish, what_is_written)
{
	char text[IP_TEXT_SIZE];

	good("80", 0, 80, 1, IPPROTO_TCP);
	cr_assert(one.host.size == 0 && !one.everywhere);
	good("8080:80", 8080, 80, 1, IPPROTO_TCP);
	good("53:53/udp", 53, 53, 1, IPPROTO_UDP);
	good("8000-8010:9000-9010/tcp", 8000, 9000, 11, IPPROTO_TCP);
	good("9000-9001", 0, 9000, 2, IPPROTO_TCP);
	good("192.0.2.1:8080:80", 8080, 80, 1, IPPROTO_TCP);
	cr_assert_str_eq(ip_print(&one.host, text), "192.0.2.1");
	good("192.0.2.1::80", 0, 80, 1, IPPROTO_TCP);
	good("[2001:db8::1]:8080:80/udp", 8080, 80, 1, IPPROTO_UDP);
	cr_assert_str_eq(ip_print(&one.host, text), "2001:db8::1");
	good("0.0.0.0:80:80", 80, 80, 1, IPPROTO_TCP);
	cr_assert(one.everywhere && one.host.size == 0);
	good("[::]:80:80", 80, 80, 1, IPPROTO_TCP);
	cr_assert(one.everywhere);
	good(":80", 0, 80, 1, IPPROTO_TCP);
}

Test(publish, what_is_refused)
{
	static const char *const bad[] = {
		"",
		"0",
		"65536",
		"80/sctp",
		"80/",
		"a:80",
		"80:",
		"80:a",
		"8080-8081:80",
		"80:80-81",
		"81-80",
		"1.2.3:80:80",
		"::1:80:80",
		"[::1]:80",
		"[::1:80:80",
		"1-1025",
		"-1:80",
		"80:80:80:80",
		"1.2.3.4:0:80",
		"+80",
		"1.2.3.4:x:8",
		"[::1%lo]:1:80",
		" 80",
		"80 ",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_eq(publish_parse(bad[i], &one, &err), -EINVAL, "\"%s\"", bad[i]);
}

/* A port is one container's: the second to ask is told so. */
Test(publish, taken)
{
	struct publish_socket sockets[4], more[4];
	struct arena arena = { 0 };
	size_t count = 0, none = 0;
	char text[64];

	cr_assert_eq(publish_parse("127.0.0.1::80", &one, &err), 0);
	cr_assert_eq(publish_take(&one, &arena, sockets, &count, &err), 0, "%s", err.text);
	cr_assert_eq(count, 1);
	cr_assert_gt(sockets[0].port.host_port, 0);
	cr_assert_eq(sockets[0].port.guest_port, 80);
	(void)snprintf(text, sizeof text, "127.0.0.1:%u:81", sockets[0].port.host_port);
	cr_assert_eq(publish_parse(text, &one, &err), 0);
	cr_assert_eq(publish_take(&one, &arena, more, &none, &err), -EADDRINUSE);
	(void)snprintf(text, sizeof text, "TCP port %u of 127.0.0.1 is in use",
		       sockets[0].port.host_port);
	cr_assert_not_null(strstr(err.text, text), "%s", err.text);
	(void)close(sockets[0].fd);
	cr_assert_eq(publish_parse("192.0.2.77:80:80", &one, &err), 0);
	cr_assert_eq(publish_take(&one, &arena, more, &none, &err), -EADDRNOTAVAIL);
	cr_assert_not_null(strstr(err.text, "192.0.2.77 is no address of this host"));
	arena_finish(&arena);
}

#include "base/own.h"
#include "runtime/net/allow_again.h"
#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>

static struct error err;
static struct arena arena;

Test(allow, what_is_meant)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
		bool is_name;
	} good[] = {
		{ "example.test", "example.test", 0, true },
		{ "example.test:443", "example.test", 443, true },
		{ "192.0.2.1", "192.0.2.1", 0, false },
		{ "192.0.2.1:80", "192.0.2.1", 80, false },
		{ "2001:db8::1", "2001:db8::1", 0, false },
		{ "[2001:db8::1]", "2001:db8::1", 0, false },
		{ "[2001:db8::1]:80", "2001:db8::1", 80, false },
	};
	static const char *const bad[] = {
		"",     ":80", "a b",    "-x", "example.test:0", "a:65536", "[192.0.2.1]:80",
		"[::1", "a:b", "::1]:80"
	};
	struct allow allow;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		cr_assert_eq(allow_parse(good[i].text, &arena, &allow, &err), 0, "%s", err.text);
		cr_assert_str_eq(allow.host, good[i].host);
		cr_assert_eq(allow.port, good[i].port);
		cr_assert_eq(allow.is_name, good[i].is_name);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_lt(allow_parse(bad[i], &arena, &allow, &err), 0, "%s", bad[i]);
	arena_finish(&arena);
}

static struct allowed resolve(const char *first, const char *second)
{
	struct texts texts = { 0 };
	struct allowed allowed;

	texts_add(&arena, &texts, first);
	texts_add(&arena, &texts, second);
	cr_assert_eq(allow_resolve(&texts, &arena, &allowed, &err), 0, "%s", err.text);
	return allowed;
}

/* An address is one target for each port, and what a name may come to is bounded. */
Test(allow, addresses)
{
	struct allowed allowed = resolve("192.0.2.1:80", "192.0.2.1");
	struct ip ip;
	size_t before;

	cr_assert_eq(allowed.target_count, 2);
	cr_assert_eq(allowed.name_count, 0);
	cr_assert(ip_parse("192.0.2.1", &ip));
	cr_assert_not(allow_add(&allowed, 0, &ip));
	for (unsigned i = 0; i < 2 * ALLOW_MAX_ADDRESSES + 10; i++) {
		ip.bytes[2] = 3;
		ip.bytes[3] = (uint8_t)i;
		before = allowed.target_count;
		cr_assert_eq(allow_add(&allowed, 1, &ip), before < 2 * ALLOW_MAX_ADDRESSES);
	}
	cr_assert_eq(allowed.target_count, 2 * ALLOW_MAX_ADDRESSES);
	arena_finish(&arena);
}

/* The host's own name for itself needs no name server. */
Test(allow, looked_up_again, .timeout = 120)
{
	struct allowed allowed = resolve("localhost:80", "192.0.2.1");
	struct allow_again again = ALLOW_AGAIN_NONE;
	struct pollfd timer = { .events = POLLIN };
	const struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	size_t found = allowed.target_count;

	cr_assert_gt(allowed.name_count, 0);
	cr_assert_str_eq(allowed.names[0].names, "localhost");
	cr_assert_eq(allow_again_open(&allowed, &again, &err), 0, "%s", err.text);
	timer.fd = again.timer_fd;
	allowed.target_count = 0; /* as if nothing had been found at first */
	allowed.name_count = 0;
	cr_assert_eq(allow_again_process(&again, &allowed), 0, "too early");
	cr_assert_eq(again.pid, 0);
	cr_assert_eq(timerfd_settime(again.timer_fd, 0, &soon, NULL), 0);
	for (size_t added = 0; added == 0;) {
		cr_assert_eq(poll(&timer, 1, 100000), 1);
		added = allow_again_process(&again, &allowed);
	}
	cr_assert_eq(allowed.target_count, found - 1, "the address is not looked up");
	cr_assert_eq(again.pid, 0);
	allow_again_close(&again);
	arena_finish(&arena);
}

Test(allow, nothing_to_look_up)
{
	struct allowed allowed = resolve("192.0.2.2", "192.0.2.1");
	struct allow_again again = ALLOW_AGAIN_NONE;

	cr_assert_eq(allow_again_open(&allowed, &again, &err), 0);
	cr_assert_eq(again.timer_fd, -1);
	allow_again_close(&again);
	arena_finish(&arena);
}

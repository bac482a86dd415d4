#include "runtime/parse.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static struct error err;

Test(parse, bytes)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "64m", 64 << 20 },
		{ "64M", 64 << 20 },
		{ "64mb", 64 << 20 },
		{ "64MiB", 64 << 20 },
		{ "1.5g", 1536ULL << 20 },
		{ "2 g", 2048ULL << 20 },
		{ "1b", 1 },
		{ "0.5k", 512 },
		{ "1t", 1ULL << 40 },
	};
	static const char *const bad[] = { "",
					   "m",
					   "-1",
					   "1x",
					   "1gg",
					   "1e3",
					   "0x10",
					   "1..5",
					   "1bb",
					   "1 m b",
					   "9999999999999999999g" };
	uint64_t bytes;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		cr_assert_eq(parse_bytes("memory", good[i].text, &bytes, &err), 0, "%s",
			     good[i].text);
		cr_assert_eq(bytes, good[i].bytes, "%s is %lu", good[i].text, bytes);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_lt(parse_bytes("memory", bad[i], &bytes, &err), 0, "%s", bad[i]);
	cr_assert_str_eq(err.text, "--memory is a size such as 512m or 1g, not "
				   "\"9999999999999999999g\"");
}

Test(parse, cpus)
{
	uint64_t milli;

	cr_assert_eq(parse_cpus("1.5", &milli, &err), 0);
	cr_assert_eq(milli, 1500);
	cr_assert_eq(parse_cpus(".25", &milli, &err), 0);
	cr_assert_eq(milli, 250);
	cr_assert_eq(parse_cpus("0.0999999", &milli, &err), 0);
	cr_assert_eq(milli, 99);
	cr_assert_lt(parse_cpus("0", &milli, &err), 0);
	cr_assert_lt(parse_cpus("33", &milli, &err), 0);
	cr_assert_lt(parse_cpus("two", &milli, &err), 0);
}

Test(parse, signals)
{
	int number;

	cr_assert_eq(parse_signal("SIGTERM", &number, &err), 0);
	cr_assert_eq(number, SIGTERM);
	cr_assert_eq(parse_signal("quit", &number, &err), 0);
	cr_assert_eq(number, SIGQUIT);
	cr_assert_eq(parse_signal("9", &number, &err), 0);
	cr_assert_eq(number, 9);
	cr_assert_eq(parse_signal("SIGRTMIN+3", &number, &err), 0);
	cr_assert_eq(number, 37);
	cr_assert_eq(parse_signal("RTMAX-1", &number, &err), 0);
	cr_assert_eq(number, 63);
	cr_assert_lt(parse_signal("0", &number, &err), 0);
	cr_assert_lt(parse_signal("65", &number, &err), 0);
	cr_assert_lt(parse_signal("SIGNOPE", &number, &err), 0);
	cr_assert_lt(parse_signal("RTMIN-3", &number, &err), 0);
}

Test(parse, capabilities)
{
	uint64_t mask;

	cr_assert_eq(parse_capability("NET_ADMIN", &mask, &err), 0);
	cr_assert_eq(mask, 1ULL << 12);
	cr_assert_eq(parse_capability("cap_checkpoint_restore", &mask, &err), 0);
	cr_assert_eq(mask, 1ULL << 40);
	cr_assert_eq(parse_capability("all", &mask, &err), 0);
	cr_assert_eq(mask, CAPABILITIES_ALL);
	cr_assert_lt(parse_capability("NET", &mask, &err), 0);
}

Test(parse, ulimits)
{
	struct rlimit_value value;

	cr_assert_eq(parse_ulimit("nofile=1024:2048", &value, &err), 0);
	cr_assert_str_eq(value.type, "RLIMIT_NOFILE");
	cr_assert_eq(value.soft, 1024);
	cr_assert_eq(value.hard, 2048);
	cr_assert_eq(parse_ulimit("core=-1", &value, &err), 0);
	cr_assert_eq(value.hard, UINT64_MAX);
	cr_assert_lt(parse_ulimit("nofile", &value, &err), 0);
	cr_assert_lt(parse_ulimit("nofile=", &value, &err), 0);
	cr_assert_lt(parse_ulimit("nofile=5:4", &value, &err), 0);
	cr_assert_lt(parse_ulimit("files=5", &value, &err), 0);
	cr_assert_lt(parse_ulimit("nofile=5:6:7", &value, &err), 0);
}

Test(parse, hosts)
{
	char ip[64];
	size_t size;

	cr_assert_eq(parse_host("db:10.0.0.1", &size, ip, &err), 0);
	cr_assert_eq(size, 2);
	cr_assert_str_eq(ip, "10.0.0.1");
	cr_assert_eq(parse_host("db:fe80::1", &size, ip, &err), 0);
	cr_assert_str_eq(ip, "fe80::1");
	cr_assert_eq(parse_host("db=[::1]", &size, ip, &err), 0);
	cr_assert_str_eq(ip, "::1");
	cr_assert_lt(parse_host("db", &size, ip, &err), 0);
	cr_assert_lt(parse_host(":1.2.3.4", &size, ip, &err), 0);
	cr_assert_lt(parse_host("db:1.2.3", &size, ip, &err), 0);
	cr_assert_lt(parse_host("a b:1.2.3.4", &size, ip, &err), 0);
}

Test(parse, names)
{
	cr_assert_eq(parse_container_name("web-1.x_y", &err), 0);
	cr_assert_lt(parse_container_name("w", &err), 0);
	cr_assert_lt(parse_container_name("../etc", &err), 0);
	cr_assert_lt(parse_container_name("a/b", &err), 0);
	cr_assert_eq(parse_hostname("a.b-c", &err), 0);
	cr_assert_lt(parse_hostname("", &err), 0);
	cr_assert_lt(parse_hostname("-a", &err), 0);
	cr_assert_lt(parse_hostname("a b", &err), 0);
}

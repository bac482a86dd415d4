#include "runtime/net/interface_options.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct interface_options options;
static struct error err;

static int parse(const char *text)
{
	options = (struct interface_options){ 0 };
	return interface_options_parse(text, &options, &err);
}

Test(interface_options, both_directions)
{
	cr_assert_eq(parse("rate=10m"), 0);
	cr_assert_eq(options.send.bytes, 10 << 20);
	cr_assert_eq(options.receive.bytes, 10 << 20);
	cr_assert_eq(options.send.bytes_burst, 0);
	cr_assert_eq(options.send.operations, 0);
	cr_assert_not(options.vhost);
	cr_assert_eq(parse("vhost"), 0);
	cr_assert(options.vhost);
}

Test(interface_options, each_its_own)
{
	cr_assert_eq(parse("rate=1m:64k,send-rate=2m,receive-packets=1000:50,send-packets=7"), 0,
		     "%s", err.text);
	cr_assert_eq(options.send.bytes, 2 << 20);
	cr_assert_eq(options.send.bytes_burst, 0);
	cr_assert_eq(options.receive.bytes, 1 << 20);
	cr_assert_eq(options.receive.bytes_burst, 64 << 10);
	cr_assert_eq(options.receive.operations, 1000);
	cr_assert_eq(options.receive.operations_burst, 50);
	cr_assert_eq(options.send.operations, 7);
	cr_assert_eq(options.send.operations_burst, 0);
}

Test(interface_options, refused)
{
	static const char *const bad[] = {
		"",
		"rate",
		"rate=",
		"rate=0",
		"rate=1m:0",
		"vhost=1",
		"vhos",
		"vhostt",
		"rate=x",
		"rate=1m:",
		"rate=1m:x",
		"rate=1m,",
		"packets=1k",
		"speed=1m",
		"rate=2000000g",
		"packets=-1",
		"send-rate",
		",rate=1m",
		"packets=0",
		"rat=1m",
		"rate-rate=1m",
		"rate=1m:1:1",
		"rate=1000000000000000000000000000000000000000000",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_eq(parse(bad[i]), -EINVAL, "%s", bad[i]);
}

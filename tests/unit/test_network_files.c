#include "base/sys.h"
#include "runtime/net/lease.h"
#include "runtime/net/network.h"
#include "runtime/net/resolver.h"
#include "runtime/net/rules.h"
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct arena arena;
static struct error err;

static void tear_down(void)
{
	arena_finish(&arena);
}

TestSuite(network_files, .fini = tear_down);

#define V4 "\"subnet\":\"10.1.0.0/16\",\"gateway\":\"10.1.0.1\""

static int parse(const char *text, struct network *out)
{
	return network_parse(text, strlen(text), out);
}

Test(network_files, network)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"name\":\"a\"}",
		"{\"name\":\"a/b\",\"bridge\":\"kvbr1\",\"mtu\":1500," V4 "}",
		"{\"name\":\"none\",\"bridge\":\"kvbr1\",\"mtu\":1500," V4 "}",
		"{\"name\":\"a\",\"bridge\":\"docker0\",\"mtu\":1500," V4 "}",
		"{\"name\":\"a\",\"bridge\":\"kvbr1x\",\"mtu\":1500," V4 "}",
		"{\"name\":\"a\",\"bridge\":\"kvbr1\",\"mtu\":67," V4 "}",
		"{\"name\":\"a\",\"bridge\":\"kvbr1\",\"mtu\":1500}",
		"{\"name\":\"a\",\"bridge\":\"kvbr1\",\"mtu\":1500,\"subnet\":\"10.1.0.0/16\","
		"\"gateway\":\"10.2.0.1\"}",
		"{\"name\":\"a\",\"bridge\":\"kvbr1\",\"mtu\":1500,\"subnet\":\"10.1.0.0/31\","
		"\"gateway\":\"10.1.0.1\"}",
		"{\"name\":\"a\",\"bridge\":\"kvbr1\",\"mtu\":1500," V4
		",\"subnet6\":\"fd00::/64\"}",
		"{\"name\":\"a\",\"bridge\":\"kvbr1\",\"mtu\":1500," V4
		",\"subnet6\":\"10.2.0.0/16\",\"gateway6\":\"10.2.0.1\"}",
	};
	struct network network = { 0 };

	cr_assert_eq(parse("{\"name\":\"a\",\"bridge\":\"kvbr17\",\"mtu\":1500," V4 "}", &network),
		     0);
	cr_assert_str_eq(network.bridge, "kvbr17");
	cr_assert(network.subnets[NETWORK_V4].length == 16 &&
		  !network.subnets[NETWORK_V6].ip.size && !network.internal);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_lt(parse(bad[i], &network), 0, "%s", bad[i]);
}

Test(network_files, names)
{
	cr_assert_eq(network_check_name("my-net_1.x", &err), 0);
	cr_assert_lt(network_check_name("", &err), 0);
	cr_assert_lt(network_check_name("-x", &err), 0);
	cr_assert_lt(network_check_name("a b", &err), 0);
	cr_assert_lt(network_check_name("host", &err), 0);
	cr_assert_eq(network_check_name("0123456789012345678901234567890123456789012345678901234567"
					"89012",
					&err),
		     0);
	cr_assert_lt(network_check_name("0123456789012345678901234567890123456789012345678901234567"
					"890123",
					&err),
		     0);
}

/* --- resolv.conf --- */

static struct resolver resolve(const char *text)
{
	struct resolver out = { 0 };

	resolver_parse(text, strlen(text), &arena, &out);
	return out;
}

Test(network_files, resolver)
{
	struct resolver one = resolve("# nameserver 9.9.9.9\n;x\n\tnameserver\t192.0.2.1 # x\n"
				      "nameserver fe80::1%eth0\nnameserver 2001:db8::1\n"
				      "search a.test\nsearch b.test c.test\noptions ndots:2\r\n"
				      "options edns0\nnameserverx 1.2.3.4");
	struct resolver local = resolve("nameserver 127.0.0.53\nnameserver ::1\n");
	struct resolver many = resolve("nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver "
				       "1.0.0.3\nnameserver 1.0.0.4");
	char text[IP_TEXT_SIZE];

	cr_assert_eq(one.servers.count, 2);
	cr_assert_str_eq(one.servers.list[0], "192.0.2.1");
	cr_assert_str_eq(one.servers.list[1], "2001:db8::1");
	cr_assert_eq(one.search.count, 2);
	cr_assert_str_eq(one.search.list[0], "b.test");
	cr_assert_eq(one.options.count, 2);
	cr_assert_str_eq(one.options.list[0], "ndots:2");
	cr_assert_eq(local.servers.count, 0);
	cr_assert_str_eq(ip_print(&local.local, text), "127.0.0.53");
	cr_assert_eq(many.servers.count, 3);
}

/* --- leases and their rules --- */

static const char *const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#define LEASE                                                                                      \
	"\"bridge\":\"kvbr0\",\"tap\":\"kvt3\",\"mac\":\"02:6b:0a:90:00:02\",\"dnsRelayPort\":0,"  \
	"\"id\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""

static int parse_lease(const char *text, struct lease *out)
{
	*out = (struct lease){ .fd = -1, .network = "n", .index = 2 };
	return lease_parse(text, strlen(text), &arena, out);
}

Test(network_files, lease)
{
	static const char *const bad[] = {
		"",
		"{}",
		"{" LEASE "}",
		"{" LEASE ",\"address\":\"fd00::1\"}",
		"{" LEASE ",\"address\":\"10.1.0.2\",\"name\":\"a b\"}",
		"{" LEASE ",\"address\":\"10.1.0.2\",\"tap\":\"eth0\"}",
		"{" LEASE ",\"address\":\"10.1.0.2\",\"tap\":\"kvt\\\"\"}",
		"{" LEASE ",\"address\":\"10.1.0.2\",\"ports\":[{}]}",
		"{" LEASE ",\"address\":\"10.1.0.2\",\"ports\":[{\"protocol\":\"tcp\",\"hostPort\":"
		"65536,\"guestPort\":1}]}",
		"{" LEASE ",\"address\":\"10.1.0.2\",\"aliases\":[\"a\\nb\"]}",
	};
	struct lease lease;

	cr_assert_eq(parse_lease("{" LEASE ",\"address\":\"10.1.0.2\",\"name\":\"web\",\"ports\":[{"
				 "\"protocol\":\"udp\",\"hostPort\":53,\"guestPort\":54}]}",
				 &lease),
		     0);
	cr_assert_str_eq(lease.name, "web");
	cr_assert_str_eq(lease.network, "n");
	cr_assert(lease.index == 2 && lease.port_count == 1 &&
		  lease.ports[0].protocol == IPPROTO_UDP && lease.ports[0].host.size == 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_lt(parse_lease(bad[i], &lease), 0, "%s", bad[i]);
}

/* What is written is what is read, also by who reads while a longer text is replaced. */
Test(network_files, a_lease_that_is_ending)
{
	struct lease lease, read;
	char text[LEASE_FILE_MAX];
	ssize_t size;

	cr_assert_eq(
	    parse_lease("{" LEASE ",\"address\":\"10.1.0.2\",\"restricted\":true}", &lease), 0);
	cr_assert(!lease.ending && lease.restricted);
	lease.fd = memfd_create("lease", MFD_CLOEXEC);
	cr_assert_geq(lease.fd, 0);
	cr_assert_eq(lease_write(&lease, &err), 0, "%s", err.text);
	lease.ending = true;
	for (int i = 0; i < 2; i++) {
		struct sys_fault fault = { .call = "ftruncate", .result = -EIO, .count = 1 };

		sys_inject(i == 0 ? &fault : NULL);
		cr_expect_eq(lease_write(&lease, &err), i == 0 ? -EIO : 0);
		sys_inject(NULL);
		size = pread(lease.fd, text, sizeof text, 0);
		cr_assert_gt(size, 0);
		cr_assert_eq(lease_parse(text, (size_t)size, &arena, &read), 0);
		cr_expect(read.ending && read.restricted);
	}
	(void)close(lease.fd);
}

static bool rules_say(void (*make)(struct rules *, const struct lease *), const struct lease *lease,
		      const char *text)
{
	struct rules rules;
	json_object *top;
	bool found;

	cr_assert_eq(rules_begin(&rules, &err), 0);
	rules_add_base(&rules);
	make(&rules, lease);
	(void)fputs("]}", rules.out);
	(void)fflush(rules.out);
	top = json_tokener_parse(rules.text);
	cr_assert_not_null(top, "%s", rules.text);
	(void)json_object_put(top);
	found = strstr(rules.text, text) != NULL;
	rules_finish(&rules);
	return found;
}

Test(network_files, rules)
{
	struct lease_port ports[] = {
		{ .protocol = IPPROTO_TCP, .host_port = 8080, .guest_port = 80 },
		{ .protocol = IPPROTO_UDP, .host_port = 53, .guest_port = 5353 },
		{ .protocol = IPPROTO_TCP, .host_port = 81, .guest_port = 80 },
	};
	struct lease lease = { .fd = -1,
			       .bridge = "kvbr0",
			       .tap = "kvt0",
			       .mac = { 2, 0x6b, 10, 1, 0, 2 },
			       .id = id,
			       .port_count = 3,
			       .ports = ports };

	cr_assert(ip_parse("10.1.0.2", &lease.addresses[NETWORK_V4]));
	cr_assert(ip_parse("192.0.2.1", &ports[1].host) && ip_parse("127.0.0.1", &ports[2].host));
	cr_assert(rules_say(
	    rules_add_lease, &lease,
	    "[{\"concat\":[\"tcp\",8080]},{\"jump\":{\"target\":\"nat-0123456789ab\"}}]"));
	cr_assert(rules_say(rules_add_lease, &lease, "\"addr\":\"10.1.0.2\",\"port\":80}"));
	cr_assert(rules_say(rules_add_lease, &lease, "{\"concat\":[\"192.0.2.1\",\"udp\",53]}"));
	cr_assert_not(rules_say(rules_add_lease, &lease, ",81]"), "loopback is not translated");
	cr_assert(rules_say(rules_add_lease, &lease,
			    "{\"concat\":[\"kvt0\",\"02:6b:0a:01:00:02\",\"10.1.0.2\"]}"));
	/* the link-local address that the guest makes itself */
	cr_assert(rules_say(rules_add_lease, &lease, "\"fe80::6b:aff:fe01:2\""));
	cr_assert_not(rules_say(rules_add_lease, &lease, "\"delete\""));
	cr_assert(rules_say(
	    rules_remove_lease, &lease,
	    "\"delete\":{\"chain\":{\"family\":\"inet\",\"table\":\"katavm\",\"name\":\"nat-"));
	cr_assert_not(rules_say(rules_add_lease, &lease, "only-"));
	lease.restricted = true;
	cr_assert(rules_say(rules_add_lease, &lease,
			    "[\"10.1.0.2\",{\"jump\":{\"target\":\"only-0123456789ab\"}}]"));
	cr_assert(rules_say(
	    rules_remove_lease, &lease,
	    "\"delete\":{\"chain\":{\"family\":\"inet\",\"table\":\"katavm\",\"name\":\"only-"));
}

#include "vmm/config_json.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct config_json config;
static struct error err;

static int parse(const char *text)
{
	return config_json_parse(text, strlen(text), &config, &err);
}

Test(config_json, least)
{
	cr_assert_eq(parse("{\"kernel\": \"vmlinux\"}"), 0);
	cr_assert_str_eq(config.kernel, "vmlinux");
	cr_assert_eq(config.vcpus, 1);
	cr_assert_eq(config.memory_mib, 512);
	cr_assert(config.console);
}

Test(config_json, most)
{
	cr_assert_eq(parse("{\"kernel\":\"k\",\"initramfs\":\"i\",\"cmdline\":\"a b\",\"vcpus\":32,"
			   "\"memory_mib\":5120,\"huge_pages\":true,\"shared_memory\":true,"
			   "\"console\":\"none\","
			   "\"disks\":[{\"path\":\"a\"},{\"path\":\"b\",\"serial\":\"s\","
			   "\"readonly\":true,\"direct\":true,"
			   "\"rate\":{\"bytes\":1048576,\"operations_burst\":7}}],"
			   "\"net\":[{\"tap\":\"t0\",\"mac\":\"02:00:00:00:0a:FF\",\"mtu\":1400,"
			   "\"queues\":4,\"send_rate\":{\"bytes\":9,\"bytes_burst\":8},"
			   "\"receive_rate\":{\"operations\":7},\"vhost\":true},{\"tap\":\"t1\","
			   "\"mac\":\"02:00:"
			   "00:00:00:01\"}],"
			   "\"vsock\":{\"listen\":[{\"port\":5,\"path\":\"l\"}],"
			   "\"connect\":[{\"port\":1024,\"path\":\"c\"}]}}"),
		     0, "%s", err.text);
	cr_assert_eq(config.disk_count, 2);
	cr_assert(config.disks[1].read_only);
	cr_assert(config.disks[1].direct);
	cr_assert_not(config.disks[0].direct);
	cr_assert_eq(config.disks[1].rate.bytes, 1 << 20);
	cr_assert_eq(config.disks[1].rate.operations_burst, 7);
	cr_assert_str_eq(config.disks[1].serial, "s");
	cr_assert_eq(config.net_count, 2);
	cr_assert_str_eq(config.nets[0].tap, "t0");
	cr_assert_eq(config.nets[0].queues, 4);
	cr_assert_eq(config.nets[0].mtu, 1400);
	cr_assert_eq(config.nets[0].address[5], 0xff);
	cr_assert_eq(config.nets[0].send_rate.bytes, 9);
	cr_assert_eq(config.nets[0].send_rate.bytes_burst, 8);
	cr_assert_eq(config.nets[0].receive_rate.operations, 7);
	cr_assert(config.nets[0].vhost && !config.nets[1].vhost);
	cr_assert_eq(config.nets[1].queues, 1);
	cr_assert_eq(config.nets[1].mtu, 0);
	cr_assert_eq(config.listen[0].port, 5);
	cr_assert_str_eq(config.connect[0].path, "c");
	cr_assert_not(config.console);
}

Test(config_json, refused)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"kernel\":1}",
		"{\"kernel\":\"k\",\"kernal\":\"k\"}",
		"{\"kernel\":\"k\",\"vcpus\":0}",
		"{\"kernel\":\"k\",\"vcpus\":33}",
		"{\"kernel\":\"k\",\"vcpus\":-1}",
		"{\"kernel\":\"k\",\"vcpus\":\"2\"}",
		"{\"kernel\":\"k\",\"memory_mib\":18446744073709551615}",
		"{\"kernel\":\"k\",\"console\":\"serial\"}",
		"{\"kernel\":\"k\",\"console\":null}",
		"{\"kernel\":\"k\",\"net\":[{\"tap\":\"t\"}]}",
		"{\"kernel\":\"k\",\"net\":[{\"mac\":\"02:00:00:00:00:01\"}]}",
		"{\"kernel\":\"k\",\"net\":[{\"tap\":\"t\",\"mac\":\"01:00:00:00:00:01\"}]}",
		"{\"kernel\":\"k\",\"net\":[{\"tap\":\"t\",\"mac\":\"00:00:00:00:00:00\"}]}",
		"{\"kernel\":\"k\",\"net\":[{\"tap\":\"t\",\"mac\":\"02:00:00:00:00:1\"}]}",
		"{\"kernel\":\"k\",\"net\":[{\"tap\":\"t\",\"mac\":\"02:00:00:00:00:011\"}]}",
		"{\"kernel\":\"k\",\"net\":[{\"tap\":\"1234567890123456\","
		"\"mac\":\"02:00:00:00:00:01\"}]}",
		"{\"kernel\":\"k\",\"net\":[{\"tap\":\"t\",\"mac\":\"02:00:00:00:00:01\","
		"\"queues\":5}]}",
		"{\"kernel\":\"k\",\"net\":[{\"tap\":\"t\",\"mac\":\"02:00:00:00:00:01\","
		"\"send_rate\":{\"packets\":5}}]}",
		"{\"kernel\":\"k\",\"disks\":{}}",
		"{\"kernel\":\"k\",\"disks\":[{}]}",
		"{\"kernel\":\"k\",\"disks\":[null]}",
		"{\"kernel\":\"k\",\"disks\":[{\"path\":\"p\",\"rate\":{\"iops\":1}}]}",
		"{\"kernel\":\"k\",\"disks\":[{\"path\":\"p\",\"rate\":5}]}",
		"{\"kernel\":\"k\",\"disks\":[{\"path\":\"p\",\"serial\":"
		"\"123456789012345678901\"}]}",
		"{\"kernel\":\"k\",\"vsock\":{\"listen\":[{\"port\":0,\"path\":\"p\"}]}}",
		"{\"kernel\":\"k\\u0000\"}",
		"{\"kernel\":\"k\"} x",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_lt(parse(bad[i]), 0, "%s", bad[i]);
	cr_assert_eq(parse("{\"kernel\":\"k\",\"kernal\":\"k\"}"), -EINVAL);
	cr_assert(strstr(err.text, "unknown key \"kernal\""));
}

#include "base/own.h"
#include "vmm/control.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

enum { HEADER = offsetof(struct control_message, body) };
static const size_t START_SIZE = HEADER + sizeof(struct control_start);

static struct control_message start(void)
{
	struct control_message message = { .kind = CONTROL_START };

	message.body.start.memory_mib = 512;
	message.body.start.vcpu_count = 1;
	return message;
}

static int parse(const struct control_message *message, size_t size, size_t fd_count)
{
	struct control_message out;

	return control_parse(message, size, fd_count, &out);
}

Test(control, start)
{
	struct control_message message = start();

	cr_assert_eq(parse(&message, START_SIZE, 2), 0);
	cr_assert_eq(parse(&message, START_SIZE, 1), -EPROTO);
	cr_assert_eq(parse(&message, START_SIZE, 3), -EPROTO);
	cr_assert_eq(parse(&message, START_SIZE - 1, 2), -EPROTO);
	cr_assert_eq(parse(&message, START_SIZE + 1, 2), -EPROTO);
	cr_assert_eq(parse(&message, 0, 0), -EPROTO);
	message.body.start.has_initramfs = 1;
	cr_assert_eq(parse(&message, START_SIZE, 3), 0);
	message.body.start.has_initramfs = 2;
	cr_assert_eq(parse(&message, START_SIZE, 4), -EPROTO);
}

Test(control, start_with_interfaces)
{
	struct control_message message = start();

	message.body.start.net_count = 2;
	cr_assert_eq(parse(&message, START_SIZE, 2), -EPROTO);
	message.body.start.nets[0].pair_count = 4;
	cr_assert_eq(parse(&message, START_SIZE, 6), -EPROTO);
	message.body.start.nets[1].pair_count = 1;
	cr_assert_eq(parse(&message, START_SIZE, 7), 0);
	cr_assert_eq(parse(&message, START_SIZE, 6), -EPROTO);
	message.body.start.nets[0].vhost = 1;
	cr_assert_eq(parse(&message, START_SIZE, 11), 0);
	cr_assert_eq(parse(&message, START_SIZE, 7), -EPROTO);
	message.body.start.nets[0].vhost = 2;
	cr_assert_eq(parse(&message, START_SIZE, 15), -EPROTO);
	message.body.start.nets[0].vhost = 0;
	message.body.start.nets[1].pair_count = 5;
	cr_assert_eq(parse(&message, START_SIZE, 11), -EPROTO);
	message.body.start.net_count = VMM_MAX_NETS + 1;
	cr_assert_eq(parse(&message, START_SIZE, 7), -EPROTO);
}

Test(control, start_ranges)
{
	struct control_message message = start();

	message.body.start.vcpu_count = 0;
	cr_assert_eq(parse(&message, START_SIZE, 2), -EPROTO);
	message.body.start.vcpu_count = VMM_MAX_VCPUS + 1;
	cr_assert_eq(parse(&message, START_SIZE, 2), -EPROTO);
	message = start();
	message.body.start.memory_mib = 31;
	cr_assert_eq(parse(&message, START_SIZE, 2), -EPROTO);
	message.body.start.memory_mib = UINT64_MAX;
	cr_assert_eq(parse(&message, START_SIZE, 2), -EPROTO);
	message = start();
	message.body.start.disk_count = UINT32_MAX;
	cr_assert_eq(parse(&message, START_SIZE, 1), -EPROTO);
	message = start();
	memset(message.body.start.cmdline, 'x', sizeof message.body.start.cmdline);
	cr_assert_eq(parse(&message, START_SIZE, 2), -EPROTO);
}

Test(control, others)
{
	struct control_message message = { .kind = CONTROL_BIND };

	cr_assert_eq(parse(&message, HEADER + sizeof(struct control_port), 1), 0);
	cr_assert_eq(parse(&message, HEADER + sizeof(struct control_port), 0), -EPROTO);
	message.body.port.stream = 3;
	cr_assert_eq(parse(&message, HEADER + sizeof(struct control_port), 1), -EPROTO);
	message = (struct control_message){ .kind = CONTROL_EVENT };
	cr_assert_eq(parse(&message, HEADER + sizeof(struct vmm_event), 0), 0);
	cr_assert_eq(parse(&message, HEADER + sizeof(struct vmm_event), 1), -EPROTO);
	memset(message.body.event.text, 'x', sizeof message.body.event.text);
	cr_assert_eq(parse(&message, HEADER + sizeof(struct vmm_event), 0), -EPROTO);
	message = (struct control_message){ .kind = CONTROL_EVENT };
	message.body.event.end = (enum vmm_end)77;
	cr_assert_eq(parse(&message, HEADER + sizeof(struct vmm_event), 0), -EPROTO);
	message = (struct control_message){ .kind = CONTROL_KINDS };
	cr_assert_eq(parse(&message, HEADER, 0), -EPROTO);
}

/* They are shown on a terminal, and the VMM may have been taken over. */
Test(control, sentences_are_printable)
{
	static const enum control_kind kinds[] = { CONTROL_READY, CONTROL_MEMORY_IS, CONTROL_DUMPED,
						   CONTROL_DISK_DONE };
	struct control_message message = { .kind = CONTROL_EVENT }, out;

	(void)strcpy(message.body.event.text, "dis\x1b[2Jappears");
	cr_assert_eq(control_parse(&message, HEADER + sizeof(struct vmm_event), 0, &out), 0);
	cr_assert_str_eq(out.body.event.text, "dis?[2Jappears");
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		message = (struct control_message){ .kind = kinds[i] };
		message.body.result.code = -1;
		(void)strcpy(message.body.result.text, "no\x07\nno");
		cr_assert_eq(
		    control_parse(&message, HEADER + sizeof(struct control_result), 0, &out), 0);
		cr_assert_str_eq(out.body.result.text, "no??no");
	}
}

Test(control, amounts_of_memory_are_judged)
{
	struct control_message message = { .kind = CONTROL_MEMORY, .body.memory_mib = 512 };
	const size_t size = HEADER + sizeof message.body.memory_mib;
	struct control_message limit = start();

	cr_assert_eq(parse(&message, size, 0), 0);
	cr_assert_eq(parse(&message, size, 1), -EPROTO);
	cr_assert_eq(parse(&message, size - 4, 0), -EPROTO);
	message.body.memory_mib = 31;
	cr_assert_eq(parse(&message, size, 0), -EPROTO);
	message.body.memory_mib = UINT64_MAX;
	cr_assert_eq(parse(&message, size, 0), -EPROTO);
	limit.body.start.memory_max_mib = 4096;
	cr_assert_eq(parse(&limit, START_SIZE, 2), 0);
	limit.body.start.memory_max_mib = UINT64_MAX;
	cr_assert_eq(parse(&limit, START_SIZE, 2), -EPROTO);
}

Test(control, over_a_socket)
{
	int pair[2], fds[PACKET_MAX_FDS], kvm_fd;
	struct vmm_config config = { .vcpu_count = 2,
				     .memory_mib = 64,
				     .kernel_fd = 0,
				     .initramfs_fd = -1,
				     .console_fd = 1,
				     .cmdline = "foo",
				     .disk_count = 1 };
	struct control_message message;
	struct vmm_config back;
	size_t count;

	config.disks[0].fd = 2;
	config.disks[0].read_only = true;
	memcpy(config.disks[0].serial, "rootfs", 6);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(control_receive(pair[1], false, &message, fds, &count), -EAGAIN);
	cr_assert_eq(control_pack_config(&config, 0, &message, fds, &count, NULL), 0);
	cr_assert_eq(control_send(pair[0], &message, fds, count), 0);
	cr_assert_eq(control_receive(pair[1], true, &message, fds, &count), 1);
	cr_assert_eq(count, 4);
	cr_assert(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	control_unpack_config(&message.body.start, fds, &kvm_fd, &back);
	cr_assert_eq(kvm_fd, fds[0]);
	cr_assert_eq(back.kernel_fd, fds[1]);
	cr_assert_eq(back.initramfs_fd, -1);
	cr_assert_eq(back.console_fd, fds[2]);
	cr_assert_eq(back.disks[0].fd, fds[3]);
	cr_assert(back.disks[0].read_only);
	cr_assert_str_eq(back.disks[0].serial, "rootfs");
	cr_assert_str_eq(back.cmdline, "foo");
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	close(pair[0]);
	cr_assert_eq(control_receive(pair[1], true, &message, fds, &count), 0);
	close(pair[1]);
}

/* Descriptors that come with nonsense are closed, not kept. */
Test(control, nonsense_leaks_nothing)
{
	struct control_message message = { .kind = CONTROL_BIND };
	int pair[2], fds[PACKET_MAX_FDS], before, after;
	int two[2] = { 0, 1 };
	size_t count;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	before = dup(0);
	close(before);
	cr_assert_eq(control_send(pair[0], &message, two, 2), 0);
	cr_assert_eq(control_receive(pair[1], true, &message, fds, &count), -EPROTO);
	after = dup(0);
	cr_assert_eq(after, before);
	close(after);
	close(pair[0]);
	close(pair[1]);
}

Test(control, config_errors)
{
	struct vmm_config config = { .vcpu_count = 33, .memory_mib = 64 };
	struct control_message message;
	int fds[PACKET_MAX_FDS];
	struct error err;
	size_t count;

	cr_assert_eq(control_pack_config(&config, 0, &message, fds, &count, &err), -EINVAL);
	cr_assert(strstr(err.text, "1 to 32"));
	config.vcpu_count = 1;
	config.memory_mib = 16;
	cr_assert_eq(control_pack_config(&config, 0, &message, fds, &count, &err), -EINVAL);
	cr_assert(strstr(err.text, "32 MiB"));
}

Test(control, statistics_are_judged)
{
	struct control_message message = { .kind = CONTROL_STATS_ARE }, out;
	size_t size = offsetof(struct control_message, body) + sizeof message.body.stats;

	message.body.stats.queue_count = VMM_STATS_QUEUES;
	cr_assert_eq(control_parse(&message, size, 0, &out), 0);
	message.body.stats.queue_count++;
	cr_assert_eq(control_parse(&message, size, 0, &out), -EPROTO);
	message.body.stats.queue_count = 0;
	memset(message.body.stats.name, 'x', sizeof message.body.stats.name);
	cr_assert_eq(control_parse(&message, size, 0, &out), -EPROTO);
}

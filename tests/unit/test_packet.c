#include "base/packet.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int pair[2], fds[PACKET_MAX_FDS];
static char bytes[64];
static size_t count;

static void set_up(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static int next_fd(void)
{
	int fd = dup(0);

	(void)close(fd);
	return fd;
}

TestSuite(packet, .init = set_up);

Test(packet, bytes_and_descriptors_arrive)
{
	int sent[] = { pair[0], pair[1] };

	cr_assert_eq(packet_send(pair[0], "hello", 5, sent, 2), 0);
	cr_assert_eq(packet_receive(pair[1], true, bytes, sizeof bytes, fds, &count), 5);
	cr_expect_eq(memcmp(bytes, "hello", 5), 0);
	cr_assert_eq(count, 2);
	cr_expect(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	cr_expect_neq(fds[0], pair[0]);
}

Test(packet, nothing_there_and_nobody_there)
{
	cr_expect_eq(packet_receive(pair[1], false, bytes, sizeof bytes, fds, &count), -EAGAIN);
	(void)close(pair[0]);
	cr_expect_eq(packet_receive(pair[1], true, bytes, sizeof bytes, fds, &count), 0);
	cr_expect_eq(packet_send(pair[1], "x", 1, NULL, 0), -EPIPE);
}

Test(packet, one_that_is_too_long_leaves_no_descriptor_behind)
{
	char many[100] = { 0 };
	int before, sent[] = { pair[0] };

	cr_assert_eq(packet_send(pair[0], many, sizeof many, sent, 1), 0);
	before = next_fd();
	cr_expect_eq(packet_receive(pair[1], true, bytes, sizeof bytes, fds, &count), -EPROTO);
	cr_expect_eq(count, 0);
	cr_expect_eq(next_fd(), before);
}

Test(packet, as_many_descriptors_as_the_kernel_takes)
{
	int sent[PACKET_MAX_FDS];

	for (size_t i = 0; i < PACKET_MAX_FDS; i++)
		sent[i] = pair[1];
	cr_assert_eq(packet_send(pair[0], "x", 1, sent, PACKET_MAX_FDS), 0);
	cr_expect_eq(packet_receive(pair[1], true, bytes, sizeof bytes, fds, &count), 1);
	cr_expect_eq(count, PACKET_MAX_FDS);
}

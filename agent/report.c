#include "agent/report.h"

#include "base/own.h"
#include "base/sys.h"
#include <string.h>
#include <sys/socket.h>

union descriptor_space {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int report_open(int pair[2])
{
	return (int)SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

int report_send(int fd, const struct report *report, int passed)
{
	struct report copy = *report;
	struct iovec part = { .iov_base = &copy, .iov_len = sizeof copy };
	union descriptor_space space = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	long r;

	if (passed >= 0) {
		struct cmsghdr *header = &space.header;

		message.msg_control = space.bytes;
		message.msg_controllen = sizeof space.bytes;
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof passed);
		memcpy(CMSG_DATA(header), &passed, sizeof passed);
	}
	r = SYS_RETRY(sendmsg, fd, &message, MSG_NOSIGNAL);
	return r < 0 ? (int)r : 0;
}

int report_wait_for_start(int fd)
{
	char byte;
	long r = SYS_RETRY(recv, fd, &byte, sizeof byte, 0);

	return r < 0 ? (int)r : r == 0 ? -ECONNRESET : 0;
}

int report_receive(int fd, struct report *report, int *passed)
{
	struct report got;
	struct iovec part = { .iov_base = &got, .iov_len = sizeof got };
	union descriptor_space space = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = space.bytes,
				  .msg_controllen = sizeof space.bytes };
	long r = SYS_RETRY(recvmsg, fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int received = -1;

	if (r == -EAGAIN)
		return 0;
	if (r <= 0)
		return r < 0 ? (int)r : -ECONNRESET;
	if (message.msg_controllen >= CMSG_LEN(sizeof received) &&
	    space.header.cmsg_type == SCM_RIGHTS)
		memcpy(&received, CMSG_DATA(&space.header), sizeof received);
	if (r != sizeof got) {
		own_fd_release(&received);
		return -EPROTO;
	}
	got.text[sizeof got.text - 1] = '\0';
	*report = got;
	*passed = received;
	return 1;
}

int report_let_start(int fd)
{
	long r = SYS_RETRY(send, fd, "", 1, MSG_NOSIGNAL);

	return r < 0 ? (int)r : 0;
}

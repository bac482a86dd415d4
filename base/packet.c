#include "base/packet.h"

#include "base/check.h"
#include "base/own.h"
#include "base/sys.h"

#include <string.h>
#include <sys/socket.h>

union fd_buffer {
	struct cmsghdr header; /* for its alignment */
	unsigned char bytes[CMSG_SPACE(sizeof(int) * PACKET_MAX_FDS)];
};

int packet_send(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count)
{
	union fd_buffer control = { .bytes = { 0 } };
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
	long r;

	CHECK(fd_count <= PACKET_MAX_FDS);
	if (fd_count > 0) {
		struct cmsghdr *header;

		packet.msg_control = control.bytes;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		header = CMSG_FIRSTHDR(&packet);
		CHECK(header);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
	}
	r = SYS_RETRY(sendmsg, socket, &packet, MSG_NOSIGNAL);
	return r < 0 ? (int)r : 0;
}

static size_t take_fds(struct msghdr *packet, int fds[PACKET_MAX_FDS])
{
	size_t count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(packet); header;
	     header = CMSG_NXTHDR(packet, header)) {
		size_t size = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + count, CMSG_DATA(header), size); /* the buffer bounds the sum */
		count += size / sizeof(int);
	}
	return count;
}

long packet_receive(int socket, bool wait, void *to, size_t size, int fds[PACKET_MAX_FDS],
		    size_t *fd_count)
{
	union fd_buffer control;
	struct iovec part = { .iov_base = to, .iov_len = size };
	struct msghdr packet = { .msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof control.bytes };
	long n = SYS_RETRY(recvmsg, socket, &packet, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));

	*fd_count = 0;
	if (n <= 0)
		return n == -ECONNRESET ? 0 : n;
	*fd_count = take_fds(&packet, fds);
	if (!(packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return n;
	for (size_t i = 0; i < *fd_count; i++)
		close_fd(&fds[i]);
	*fd_count = 0;
	return -EPROTO;
}

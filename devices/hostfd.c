#include "devices/hostfd.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum hostfd_kind hostfd_kind(int fd)
{
	struct stat st;
	long flags = SYS(fcntl, fd, F_GETFL);

	if (SYS(fstat, fd, &st) < 0 || flags < 0)
		return HOSTFD_BLOCKING;
	if (S_ISSOCK(st.st_mode))
		return HOSTFD_SOCKET;
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return HOSTFD_FILE;
	if (flags & O_NONBLOCK)
		return HOSTFD_NONBLOCK;
	return S_ISFIFO(st.st_mode) ? HOSTFD_NOWAIT : HOSTFD_BLOCKING;
}

/* sendmsg and recvmsg take a mutable header */
static struct msghdr message(const struct iovec *segments, unsigned count)
{
	return (struct msghdr){ .msg_iov = (struct iovec *)(uintptr_t)segments,
				.msg_iovlen = count };
}

/* -EOPNOTSUPP from RWF_NOWAIT is the kernel saying that this file cannot do it. */
static long learn(enum hostfd_kind *kind, long result)
{
	if (result == -EOPNOTSUPP || result == -ENOSYS) {
		*kind = HOSTFD_BLOCKING;
		return -EOPNOTSUPP;
	}
	return result;
}

long hostfd_try_readv(int fd, enum hostfd_kind *kind, const struct iovec *segments, unsigned count)
{
	struct msghdr header = message(segments, count);

	switch (*kind) {
	case HOSTFD_SOCKET:
		return SYS_RETRY(recvmsg, fd, &header, MSG_DONTWAIT);
	case HOSTFD_NONBLOCK:
		return SYS_RETRY(readv, fd, segments, (int)count);
	case HOSTFD_NOWAIT:
		return learn(kind, SYS_RETRY(preadv2, fd, segments, (int)count, -1, RWF_NOWAIT));
	case HOSTFD_FILE:
	case HOSTFD_BLOCKING:
		break;
	}
	return -EOPNOTSUPP;
}

long hostfd_try_writev(int fd, enum hostfd_kind *kind, const struct iovec *segments, unsigned count)
{
	struct msghdr header = message(segments, count);

	switch (*kind) {
	case HOSTFD_SOCKET:
		return SYS_RETRY(sendmsg, fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	case HOSTFD_NONBLOCK:
		return SYS_RETRY(writev, fd, segments, (int)count);
	case HOSTFD_NOWAIT:
		return learn(kind, SYS_RETRY(pwritev2, fd, segments, (int)count, -1, RWF_NOWAIT));
	case HOSTFD_FILE:
	case HOSTFD_BLOCKING:
		break;
	}
	return -EOPNOTSUPP;
}

long hostfd_ready_read(int fd, void *to, size_t size)
{
	enum hostfd_kind kind = hostfd_kind(fd);
	struct iovec segment = { .iov_base = to, .iov_len = size };
	long n = hostfd_try_readv(fd, &kind, &segment, 1);

	return n == -EOPNOTSUPP ? SYS_RETRY(read, fd, to, size) : n;
}

long hostfd_ready_write(int fd, const void *from, size_t size)
{
	enum hostfd_kind kind = hostfd_kind(fd);
	struct iovec segment = { .iov_base = (void *)(uintptr_t)from, .iov_len = size };
	long n = hostfd_try_writev(fd, &kind, &segment, 1);

	if (n != -EOPNOTSUPP)
		return n;
	/* A pipe that polls as writable takes PIPE_BUF bytes without sleeping (pipe(7)). A
	 * terminal promises nothing of the kind: those are given with O_NONBLOCK. */
	if (kind != HOSTFD_FILE && size > PIPE_BUF)
		size = PIPE_BUF;
	return SYS_RETRY(write, fd, from, size);
}

long hostfd_ready_readv(int fd, const struct iovec *segments, unsigned count)
{
	enum hostfd_kind kind = hostfd_kind(fd);

	return hostfd_try_readv(fd, &kind, segments, count);
}

long hostfd_ready_writev(int fd, const struct iovec *segments, unsigned count)
{
	enum hostfd_kind kind = hostfd_kind(fd);

	return hostfd_try_writev(fd, &kind, segments, count);
}

#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/*
 * Reading and writing a caller's stream without ever sleeping in it and without touching its
 * blocking mode, which other processes share.
 */
enum hostfd_kind {
	HOSTFD_SOCKET,   /* asks not to wait per call */
	HOSTFD_NONBLOCK, /* O_NONBLOCK was set by whoever gave it to us */
	HOSTFD_NOWAIT,   /* may take RWF_NOWAIT: pipes, since Linux 6.5 */
	HOSTFD_FILE,     /* regular file: always ready, but a disk may be slow */
	HOSTFD_BLOCKING, /* a terminal, an older kernel's pipe: could sleep */
};

enum hostfd_kind hostfd_kind(int fd);

/* A number of bytes (0 from a read: its end), -EAGAIN: not now, poll. -EOPNOTSUPP: this descriptor
 * cannot be tried without the danger of sleeping; *kind tells so from now on. */
long hostfd_try_readv(int fd, enum hostfd_kind *kind, const struct iovec *segments, unsigned count);
long hostfd_try_writev(int fd, enum hostfd_kind *kind, const struct iovec *segments,
		       unsigned count);

/* After poll(2) has said that the descriptor is ready; never sleeps unless another process was
 * quicker, or a terminal without O_NONBLOCK has less room than is written. A write may be short. */
long hostfd_ready_read(int fd, void *to, size_t size);
long hostfd_ready_write(int fd, const void *from, size_t size);

/* The same in segments, for sockets and descriptors with O_NONBLOCK alone: others are
 * -EOPNOTSUPP. */
long hostfd_ready_readv(int fd, const struct iovec *segments, unsigned count);
long hostfd_ready_writev(int fd, const struct iovec *segments, unsigned count);

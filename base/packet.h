#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Packets with descriptors beside them, on a SOCK_SEQPACKET socket between two processes. */
enum { PACKET_MAX_FDS = 253 }; /* the kernel's own limit (unix(7)) */

/* 0 or -errno; waits while the other side's buffer is full. fds are borrowed. */
int packet_send(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count);

/* Up to `size` bytes into `to`, up to PACKET_MAX_FDS descriptors, close-on-exec and the caller's,
 * into fds. The number of bytes; 0: the other side is gone; -EAGAIN: nothing there (wait false);
 * -EPROTO: more of either than there is room for, nothing was kept. */
long packet_receive(int socket, bool wait, void *to, size_t size, int fds[PACKET_MAX_FDS],
		    size_t *fd_count);

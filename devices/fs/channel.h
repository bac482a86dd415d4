#pragma once
#include "base/gmem.h"
#include "base/packet.h"
#include "devices/virtio.h"

/*
 * What is said on the socket of a share server (SOCK_SEQPACKET, one packet a message, descriptors
 * beside it). It begins in the hands of whoever starts the server, who describes the shares, and
 * then belongs to the VMM, which hands over guest memory and the queues as the guest sets them up.
 *
 * Not vhost-user: that protocol's several dozen messages negotiate what is known here (both ends
 * are one program), and most of its length would be code that a hostile end can reach.
 */
enum {
	FS_MAX_SHARES = 16,
	FS_MAX_QUEUES = VIRTIO_MAX_QUEUES,
	FS_FILE_NAME_SIZE = 256,
};

enum fs_message_kind {
	FS_MESSAGE_SHARE,  /* to the server, with its root: the next share, counted from 0 */
	FS_MESSAGE_MEMORY, /* to the server, once, after the shares; with the memfd of guest memory
			      and one of struct fs_statistics, which the server keeps up to date */
	FS_MESSAGE_START,  /* to the server, with irq and kick eventfds: the queues of a share */
	FS_MESSAGE_STOP,   /* to the server: let go of the queues; answered by STOPPED */
	FS_MESSAGE_STOPPED,
	FS_MESSAGE_BROKEN, /* from the server: the guest broke the rules of a queue */
	FS_MESSAGE_MORE,   /* to the server, with its memfd: memory that has come since, all of it;
			      answered by GROWN, and only then used by the guest */
	FS_MESSAGE_GROWN,
	FS_MESSAGE_KINDS,
};

/* In memory of both processes, written by the server alone, a word at a time: whoever looks waits
 * for nobody, and what a server that was taken over writes there is but numbers. */
struct fs_queue_statistics {
	struct virtio_queue_stats counts; /* since the share was made; bytes are of files only */
	uint16_t next_avail, next_used;   /* of struct virtqueue */
};
struct fs_statistics {
	struct fs_queue_statistics queues[FS_MAX_SHARES][FS_MAX_QUEUES];
};

struct fs_message {
	uint32_t kind, share;
	union {
		struct {
			uint8_t read_only, cache, notify; /* cache: enum fs_cache */
			char file_name[FS_FILE_NAME_SIZE];
		} share;
		struct {
			uint64_t size; /* of the memfd */
			uint32_t count;
			struct {
				uint64_t start, size, offset; /* guest address; in the memfd */
			} ranges[GMEM_MAX_REGIONS];
		} memory;
		struct {
			uint64_t limit; /* of the memfd, always the same */
			uint64_t start; /* guest address, the same */
			uint64_t size;  /* from there on, and from the memfd's beginning */
		} more;
		struct {
			uint32_t queue_count;
			uint8_t event_index;
			struct virtqueue_layout queues[FS_MAX_QUEUES];
		} start;
	} body;
};

int fs_message_send(int socket, const struct fs_message *message, const int *fds, size_t count);
/* 1: a message, with its descriptors, which are the caller's now. 0: the other end is gone.
 * -EAGAIN: nothing there (with wait false). -EPROTO: not a message, or not so many descriptors. */
int fs_message_receive(int socket, bool wait, struct fs_message *out, int fds[PACKET_MAX_FDS],
		       size_t *count);

#pragma once
#include "devices/virtio.h"

/*
 * The front of a shared folder (virtio 1.3 section 5.11): registers and configuration are here, the
 * queues are served by the share server in a process of its own (devices/fs/server.h), which gets
 * them when the driver is ready. No request and no data passes through this process.
 */
enum { VIRTIO_FS_TAG_SIZE = 36 }; /* not terminated when full */

struct io;
struct virtio_fs_link;

/* The socket to the server of all shares, borrowed. `gone` is called once, on the device thread,
 * when its other end is closed: what the guest has asked for will never be answered. */
int virtio_fs_link_create(struct io *io, int socket, void (*gone)(void *context), void *context,
			  struct virtio_fs_link **out);
/* After the devices. Accepts NULL. */
void virtio_fs_link_destroy(struct virtio_fs_link *link);
/* Gives the server guest memory: `memory_fd` of `memory_size` bytes, in which the regions of mem
 * lie one behind the other. Once, before the guest runs. */
int virtio_fs_link_memory(struct virtio_fs_link *link, int memory_fd, uint64_t memory_size,
			  const struct gmem *mem);

/* Memory that has come since: the first `size` bytes of `more_fd`, which has `limit` in all, are at
 * the guest's address `start` from now on; no less than the time before, and of the same file. On
 * the device thread; waits until the server has it, so that the guest may use it for requests.
 * -EPIPE: the server is gone. */
int virtio_fs_link_more(struct virtio_fs_link *link, int more_fd, uint64_t limit, gpa_t start,
			uint64_t size);

struct virtio_fs_config {
	struct virtio_fs_link *link;  /* borrowed */
	uint32_t share;               /* its number at the server */
	char tag[VIRTIO_FS_TAG_SIZE]; /* what the guest mounts */
	unsigned request_queues;      /* 1..VIRTIO_MAX_QUEUES - 1 */
};

int virtio_fs_create(const struct virtio_fs_config *config, struct virtio_device **out);
/* False: not a share; *out is untouched. */
bool virtio_fs_tag(const struct virtio_device *device, char out[VIRTIO_FS_TAG_SIZE]);

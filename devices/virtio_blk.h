#pragma once
#include "devices/rate_limit.h"
#include "devices/virtio.h"

/* A disk (virtio 1.3 section 5.2) on a raw file or block device; no format is ever guessed. */
enum { VIRTIO_BLK_SERIAL_SIZE = 20 };

struct virtio_blk_config {
	int fd; /* ownership passes on success; a regular file or a block device. With O_DIRECT
		   its size must be a multiple of its blocks, which the guest is told of. */
	bool read_only;
	bool may_go; /* the device may be removed while the loop runs, and its file is free then */
	char serial[VIRTIO_BLK_SERIAL_SIZE]; /* not terminated when full */
	struct rate_limit_config limit;      /* data of reads and writes; every request */
};

/* -EINVAL: neither file nor block device, or not of whole blocks. A size that is no multiple of 512
 * is rounded down for a disk that can be written, and up for one that cannot (the rest reads as
 * zeroes). */
int virtio_blk_create(const struct virtio_blk_config *config, struct virtio_device **out);

/* ---- on the device thread ---- */

/* Looks at the file's size again and tells the driver. The new size counts for requests that are
 * judged from now on. *bytes: the size now. */
int virtio_blk_resize(struct virtio_device *device, uint64_t *bytes);
void virtio_blk_set_limit(struct virtio_device *device, const struct rate_limit_config *limit);
/* False: not a disk; *out is untouched. */
bool virtio_blk_serial(const struct virtio_device *device, char out[VIRTIO_BLK_SERIAL_SIZE]);

#pragma once
#include "devices/virtio.h"

/* A disk (virtio 1.3 section 5.2) on a raw file or block device; no format is ever guessed. */
enum { VIRTIO_BLK_SERIAL_SIZE = 20 };

struct virtio_blk_config {
	int fd; /* ownership passes on success; a regular file or a block device */
	bool read_only;
	char serial[VIRTIO_BLK_SERIAL_SIZE]; /* not terminated when full */
};

/* -EINVAL: neither file nor block device. A size that is no multiple of 512 is rounded down for a
 * disk that can be written, and up for one that cannot (the rest reads as zeroes). */
int virtio_blk_create(const struct virtio_blk_config *config, struct virtio_device **out);

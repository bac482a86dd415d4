#pragma once
#include "devices/virtio.h"

/*
 * Memory that comes and goes while the guest runs (virtio 1.3 section 5.15): a region of guest
 * addresses, of which the guest plugs blocks in and out until it has as much as is asked for.
 */
enum { VIRTIO_MEM_BLOCK = 2 << 20 };

struct virtio_mem_setup {
	gpa_t start;   /* of the region; it and its size are multiples of VIRTIO_MEM_BLOCK */
	uint64_t size; /* at most 2^40 */
	/* Device thread: what is in `range`, a part of guest memory, is the host's again. */
	void (*release)(void *context, const struct iovec *range);
	void *context;
};

int virtio_mem_create(const struct virtio_mem_setup *setup, struct virtio_device **out);

/* ---- on the device thread; sizes in bytes, multiples of VIRTIO_MEM_BLOCK ---- */

/* The guest is to have `requested` of the region's first `usable`, which is guest memory by now and
 * never shrinks. It does so in its own time, as far as it can. */
void virtio_mem_request(struct virtio_device *device, uint64_t usable, uint64_t requested);
/* How much is plugged in. */
uint64_t virtio_mem_plugged(const struct virtio_device *device);

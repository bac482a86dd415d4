#pragma once
#include "devices/virtio.h"

/*
 * A memory balloon (virtio 1.3 section 5.5): memory that the guest does not use goes back to the
 * host. Free page reporting (5.5.6.7) tells of free blocks without being asked; the target asks for
 * pages, which the guest takes back by itself before it kills a process for want of memory.
 */
struct virtio_balloon_config {
	/* Device thread: the guest has no use for what is in `range`, a part of its memory that
	 * need not begin or end with a page. It reads as zeroes, or as before, from now on. */
	void (*release)(void *context, const struct iovec *range);
	void *context;
};

enum { VIRTIO_BALLOON_PAGE = 4096 };

int virtio_balloon_create(const struct virtio_balloon_config *config, struct virtio_device **out);

/* Device thread. How many pages of 4 KiB the guest is asked to give; it does so in its own time. */
void virtio_balloon_set_target(struct virtio_device *device, uint32_t pages);
/* Any thread. How many it says it has given: the guest's word. */
uint32_t virtio_balloon_actual(struct virtio_device *device);

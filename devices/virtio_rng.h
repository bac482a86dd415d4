#pragma once
#include "devices/rate_limit.h"
#include "devices/virtio.h"

/* Random bytes of the host's. A limit slows a guest down that takes too many; what its kernel wants
 * to begin with is within any burst of some KiB. */
int virtio_rng_create(const struct rate_limit_config *limit, struct virtio_device **out);

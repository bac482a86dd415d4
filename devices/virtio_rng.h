#pragma once
#include "devices/virtio.h"

/* Entropy (virtio 1.3 section 5.4), from the host's getrandom. */
int virtio_rng_create(struct virtio_device **out);

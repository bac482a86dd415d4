#pragma once
#include "devices/virtio.h"

/*
 * A console with one port (virtio 1.3 section 5.3): hvc0, for the guest kernel's messages.
 * What the guest writes goes to output_fd as it is; whoever shows it to a person escapes it.
 * The guest waits (its buffers stay taken) while the reader is slow; when the reader is gone the
 * output is thrown away.
 */
struct virtio_console_config {
	int output_fd; /* borrowed; its blocking mode is not changed */
	int input_fd;  /* borrowed; -1: nothing is ever typed */
};

int virtio_console_create(const struct virtio_console_config *config, struct virtio_device **out);

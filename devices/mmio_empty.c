/* The register page of a slot that has no device. */
#include "devices/virtio_mmio.h"

#include <linux/virtio_mmio.h>
#include <string.h>

void virtio_mmio_read_empty(uint64_t offset, void *data, size_t size)
{
	uint32_t value = 0;

	memset(data, 0, size);
	if (size != sizeof value)
		return;
	if (offset == VIRTIO_MMIO_MAGIC_VALUE)
		value = VIRTIO_MMIO_MAGIC;
	else if (offset == VIRTIO_MMIO_VERSION)
		value = VIRTIO_MMIO_REGISTERS;
	memcpy(data, &value, sizeof value);
}

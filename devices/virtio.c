/* What all devices share: interrupts, breaking, the configuration. Nothing here knows how a
 * driver reaches the device. */
#include "devices/virtio.h"
#include "base/sys.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

void virtio_device_init(struct virtio_device *device, const struct virtio_type *type)
{
	device->type = type;
	device->irq_fd = -EBADF;
	(void)pthread_mutex_init(&device->config_lock, NULL);
}

void virtio_device_destroy(struct virtio_device *device)
{
	if (!device)
		return;
	(void)pthread_mutex_destroy(&device->config_lock);
	device->type->destroy(device);
}

/* A bit that is still set means a driver that has not yet looked: it acknowledges first and reads
 * the rings after that, so it will see what was published before this call, and one more edge
 * would only cost it two register accesses. */
static bool interrupt(struct virtio_device *device, uint32_t reason)
{
	uint32_t before = __atomic_fetch_or(&device->interrupt_status, reason, __ATOMIC_SEQ_CST);

	if (before & reason)
		return false;
	(void)sys_eventfd_signal(device->irq_fd);
	return true;
}

void virtio_complete(struct virtio_device *device, unsigned queue)
{
	struct virtio_queue_stats *stats = &device->stats[queue];
	struct virtqueue *from = &device->queues[queue];
	uint16_t count = (uint16_t)(from->next_used - from->shown_used);

	stats->chains += count;
	if (!virtqueue_publish(from))
		stats->unwanted += count > 0;
	else if (interrupt(device, VIRTIO_MMIO_INT_VRING))
		stats->interrupts++;
	else
		stats->merged++;
}

void virtio_break(struct virtio_device *device, const char *why)
{
	if (__atomic_exchange_n(&device->needs_reset, 1, __ATOMIC_SEQ_CST))
		return;
	for (unsigned i = 0; i < device->type->queue_count; i++)
		device->queues[i].broken = true;
	log_guest(&device->limit, LOG_LEVEL_WARNING,
		  "%s: the guest broke the rules (%s), it must "
		  "reset the device",
		  device->type->name, why);
	(void)interrupt(device, VIRTIO_MMIO_INT_CONFIG);
}

bool virtio_pop(struct virtio_device *device, unsigned queue, struct chain *chain)
{
	struct virtqueue *from = &device->queues[queue];
	int r = virtqueue_pop(from, chain);

	/* once: a driver that keeps its word is seen by the second look at the latest */
	if (r == 0 && virtqueue_enable_kicks(from))
		r = virtqueue_pop(from, chain);
	if (r < 0)
		virtio_break(device, "bad descriptors");
	return r == 1;
}

void virtio_again(struct virtio_device *device, unsigned queue)
{
	(void)sys_eventfd_signal(device->kick_fds[queue]);
}

void virtio_config_update(struct virtio_device *device, size_t offset, const void *from,
			  size_t size)
{
	(void)pthread_mutex_lock(&device->config_lock);
	memcpy(device->config + offset, from, size);
	(void)__atomic_add_fetch(&device->config_generation, 1, __ATOMIC_SEQ_CST);
	(void)pthread_mutex_unlock(&device->config_lock);
	if (device->active)
		(void)interrupt(device, VIRTIO_MMIO_INT_CONFIG);
}

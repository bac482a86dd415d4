/* What a machine's devices have done, for vmm_device_stats. On the device thread. */
#include "devices/virtio_blk.h"
#include "devices/virtio_fs.h"
#include "devices/virtio_mmio.h"
#include "vmm/machine_private.h"

#include <stdio.h>
#include <string.h>

_Static_assert((int)VIRTIO_MAX_QUEUES <= (int)VMM_STATS_QUEUES, "all queues fit");

static void fill_queue(const struct virtio_mmio *mmio, unsigned number, struct vmm_queue_stats *out)
{
	const struct virtio_device *device = virtio_mmio_device(mmio);
	struct virtio_queue_stats from = device->stats[number];
	struct virtqueue_view view;

	virtqueue_look(&device->queues[number], &view);
	if (device->type->look)
		device->type->look(device, number, &from, &view);
	*out = (struct vmm_queue_stats){ .kicks = from.kicks,
					 .requests = from.chains,
					 .to_guest = from.to_guest,
					 .from_guest = from.from_guest,
					 .interrupts = from.interrupts,
					 .merged = from.merged,
					 .unwanted = from.unwanted,
					 .size = view.size,
					 .ring_avail = view.ring_avail,
					 .next_avail = view.next_avail,
					 .ring_used = view.ring_used,
					 .next_used = view.next_used,
					 .avail_event = view.avail_event,
					 .used_event = view.used_event,
					 .ring_flags = view.ring_flags,
					 .in_flight = view.in_flight,
					 .broken = view.broken,
					 .watching = virtio_mmio_is_watching(mmio, number),
					 .event_index = view.event_index };
}

/* By what the guest knows it. A tag longer than a serial number is cut. */
static void fill_serial(const struct virtio_device *device, char out[VMM_SERIAL_SIZE])
{
	char tag[VIRTIO_FS_TAG_SIZE];

	if (!virtio_blk_serial(device, out) && virtio_fs_tag(device, tag))
		memcpy(out, tag, VMM_SERIAL_SIZE);
}

bool machine_device_stats(const struct machine *machine, unsigned index,
			  struct vmm_device_stats *out)
{
	const struct virtio_device *device;
	const struct virtio_mmio *mmio;

	if (index >= machine->slot_count)
		return false;
	memset(out, 0, sizeof *out);
	out->slot = index;
	mmio = machine->slots[index].mmio; /* only this thread changes it */
	if (!mmio) {
		(void)snprintf(out->name, sizeof out->name, "spare");
		return true;
	}
	device = virtio_mmio_device(mmio);
	(void)snprintf(out->name, sizeof out->name, "%s", device->type->name);
	fill_serial(device, out->serial);
	out->acknowledged = __atomic_load_n(&device->acknowledged, __ATOMIC_RELAXED);
	out->delayed = device->delayed;
	out->interrupt_status = __atomic_load_n(&device->interrupt_status, __ATOMIC_SEQ_CST);
	out->operations = io_busy_count(machine->io);
	out->active = device->active;
	out->needs_reset = __atomic_load_n(&device->needs_reset, __ATOMIC_SEQ_CST) != 0;
	out->queue_count = device->type->queue_count;
	for (unsigned i = 0; i < device->type->queue_count; i++)
		fill_queue(mmio, i, &out->queues[i]);
	return true;
}

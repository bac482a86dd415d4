/*
 * Disks, also those that come and go while the guest runs, in slots that the guest knows and finds
 * empty at boot. On the device thread; vCPUs look at a slot under its lock.
 *
 * A vCPU that resets a device holds the lock and waits for this thread. An empty slot has no device
 * to reset, so waiting for its lock here is safe; of one with a device the lock is only tried.
 */
#include "base/own.h"
#include "base/sys.h"
#include "devices/virtio_blk.h"
#include "devices/virtio_mmio.h"
#include "vmm/kvm.h"
#include "vmm/machine_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int machine_make_disk(const struct vmm_disk *disk, bool may_go, struct virtio_device **out,
		      struct error *err)
{
	struct virtio_blk_config config = { .read_only = disk->read_only,
					    .may_go = may_go,
					    .limit = { .bytes_rate = disk->rate.bytes,
						       .bytes_burst = disk->rate.bytes_burst,
						       .operations_rate = disk->rate.operations,
						       .operations_burst =
							   disk->rate.operations_burst } };
	own_fd fd = (int)SYS(fcntl, disk->fd, F_DUPFD_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return error_set(err, fd, "disk: %s", sys_text(fd));
	config.fd = fd;
	memcpy(config.serial, disk->serial, sizeof config.serial);
	r = virtio_blk_create(&config, out);
	if (r < 0)
		return error_set(err, r, "disk %.*s: %s", (int)sizeof disk->serial, disk->serial,
				 sys_text(r));
	(void)take_fd(&fd);
	return 0;
}

int machine_add_spares(struct machine *machine, unsigned count, struct error *err)
{
	struct arch_mmio place;

	for (unsigned i = 0; i < count; i++) {
		struct device_slot *slot = &machine->slots[machine->slot_count];
		int r = arch_mmio_slot(machine->slot_count, &place);

		if (r < 0)
			return error_set(err, r, "spare slots: %s", sys_text(r));
		slot->irq_fd = -EBADF;
		slot->is_spare = true;
		(void)pthread_mutex_init(&slot->lock, NULL);
		machine->slot_count++;
	}
	return 0;
}

/* The slot of the disk with this serial, or slot_count. */
static unsigned find_disk(const struct machine *machine, const char serial[VMM_SERIAL_SIZE])
{
	char has[VIRTIO_BLK_SERIAL_SIZE];
	unsigned i;

	for (i = 0; i < machine->slot_count; i++)
		if (machine->slots[i].mmio &&
		    virtio_blk_serial(virtio_mmio_device(machine->slots[i].mmio), has) &&
		    memcmp(has, serial, sizeof has) == 0)
			break;
	return i;
}

static void disconnect(const struct machine *machine, unsigned number, struct virtio_mmio *mmio)
{
	const struct device_slot *slot = &machine->slots[number];
	struct arch_mmio place;

	if (arch_mmio_slot(number, &place) < 0)
		return;
	kvm_remove_irqfd(machine->vm_fd, slot->irq_fd, place.irq);
	for (unsigned q = 0; q < virtio_mmio_queue_count(mmio); q++)
		kvm_remove_ioeventfd(machine->vm_fd, virtio_mmio_kick_fd(mmio, q),
				     (gpa_t){ place.start + VIRTIO_MMIO_NOTIFY }, q);
}

static void empty(struct machine *machine, unsigned number, struct virtio_mmio *mmio)
{
	disconnect(machine, number, mmio);
	virtio_mmio_destroy(mmio);
	close_fd(&machine->slots[number].irq_fd);
}

/* Fills an empty slot with a device, which is its own in any case. */
static int fill(struct machine *machine, unsigned number, struct virtio_device *device,
		struct error *err)
{
	struct device_slot *slot = &machine->slots[number];
	struct virtio_mmio *mmio = NULL;
	int r;

	slot->irq_fd = sys_eventfd();
	r = slot->irq_fd < 0 ? slot->irq_fd : 0;
	if (r == 0)
		r = virtio_mmio_create(&(struct virtio_mmio_config){ .device = device,
								     .mem = &machine->memory.gmem,
								     .io = machine->io,
								     .irq_fd = slot->irq_fd },
				       &mmio);
	if (r < 0) {
		virtio_device_destroy(device);
		close_fd(&slot->irq_fd);
		return error_set(err, r, "disk: create: %s", sys_text(r));
	}
	(void)pthread_mutex_lock(&slot->lock);
	slot->mmio = mmio;
	r = machine_connect(machine, number, true, err);
	if (r < 0)
		slot->mmio = NULL;
	(void)pthread_mutex_unlock(&slot->lock);
	if (r < 0)
		empty(machine, number, mmio);
	return r;
}

int machine_add_disk(struct machine *machine, const struct vmm_disk *disk, uint64_t *slot,
		     struct error *err)
{
	struct virtio_device *device;
	unsigned number = 0;
	int r;

	if (find_disk(machine, disk->serial) < machine->slot_count)
		return error_set(err, -EEXIST, "disk %.*s: there is one of this name",
				 VMM_SERIAL_SIZE, disk->serial);
	while (number < machine->slot_count &&
	       (!machine->slots[number].is_spare || machine->slots[number].mmio))
		number++;
	if (number == machine->slot_count)
		return error_set(err, -ENOSPC, "disk %.*s: no spare slot is free", VMM_SERIAL_SIZE,
				 disk->serial);
	r = machine_make_disk(disk, true, &device, err);
	if (r == 0)
		r = fill(machine, number, device, err);
	if (r == 0)
		*slot = number;
	return r;
}

int machine_remove_disk(struct machine *machine, const char serial[VMM_SERIAL_SIZE],
			struct error *err)
{
	unsigned number = find_disk(machine, serial);
	struct device_slot *slot = &machine->slots[number];
	struct virtio_mmio *mmio = NULL;

	if (number == machine->slot_count)
		return error_set(err, -ENOENT, "disk %.*s: there is none", VMM_SERIAL_SIZE, serial);
	if (!slot->is_spare)
		return error_set(err, -EINVAL, "disk %.*s: was there from the start",
				 VMM_SERIAL_SIZE, serial);
	if (pthread_mutex_trylock(&slot->lock) == 0) {
		if (virtio_mmio_is_free(slot->mmio)) {
			mmio = slot->mmio;
			slot->mmio = NULL;
		}
		(void)pthread_mutex_unlock(&slot->lock);
	}
	if (!mmio)
		return error_set(err, -EBUSY, "disk %.*s: the guest still uses it", VMM_SERIAL_SIZE,
				 serial);
	empty(machine, number, mmio);
	return 0;
}

int machine_resize_disk(struct machine *machine, const char serial[VMM_SERIAL_SIZE],
			uint64_t *bytes, struct error *err)
{
	unsigned number = find_disk(machine, serial);
	int r;

	if (number == machine->slot_count)
		return error_set(err, -ENOENT, "disk %.*s: there is none", VMM_SERIAL_SIZE, serial);
	r = virtio_blk_resize(virtio_mmio_device(machine->slots[number].mmio), bytes);
	return r < 0
		   ? error_set(err, r, "disk %.*s: size: %s", VMM_SERIAL_SIZE, serial, sys_text(r))
		   : 0;
}

#pragma once
#include "devices/io.h"
#include "devices/virtio.h"

/*
 * virtio over MMIO, version 2 registers (virtio 1.3 section 4.2): the page of registers through
 * which one driver sees one device. Knows no KVM: whoever runs the vCPUs
 *  - calls virtio_mmio_read and virtio_mmio_write for accesses to the page, on any vCPU thread,
 *  - makes a write of 4 bytes with value q to offset VIRTIO_MMIO_QUEUE_NOTIFY (0x50) signal
 *    virtio_mmio_kick_fd(mmio, q) where it can (a write that comes by exit works too),
 *  - turns a signal on irq_fd into an edge of the device's interrupt.
 */
enum {
	VIRTIO_MMIO_SIZE = 0x1000,
	VIRTIO_MMIO_NOTIFY = 0x50,
	VIRTIO_MMIO_MAGIC = 0x74726976, /* "virt" */
	VIRTIO_MMIO_REGISTERS = 2,      /* their version */
};

struct virtio_mmio;

struct virtio_mmio_config {
	struct virtio_device *device; /* ownership passes on success */
	const struct gmem *mem;       /* borrowed; complete before the first vCPU runs */
	struct io *io;                /* borrowed; outlives the transport */
	int irq_fd;                   /* borrowed eventfd, not blocking */
	/* The first look finds an empty slot, as the specification lets it be (4.2.3.1.1): the
	 * guest's boot pays nothing for a device that is wanted only by who looks again. */
	bool late;
};

int virtio_mmio_create(const struct virtio_mmio_config *config, struct virtio_mmio **out);
/* The vCPUs have stopped and the loop is not running on another thread. Accepts NULL. */
void virtio_mmio_destroy(struct virtio_mmio *mmio);

unsigned virtio_mmio_queue_count(const struct virtio_mmio *mmio);
/* Borrowed eventfd for ioeventfd; fixed for the transport's life. */
int virtio_mmio_kick_fd(const struct virtio_mmio *mmio, unsigned queue);
const char *virtio_mmio_name(const struct virtio_mmio *mmio);

/* For statistics, on the device thread. */
struct virtio_device *virtio_mmio_device(const struct virtio_mmio *mmio);
/* Whether the loop listens for kicks of this queue. */
bool virtio_mmio_is_watching(const struct virtio_mmio *mmio, unsigned queue);

/* Any thread; offset < VIRTIO_MMIO_SIZE, size 1..8. An access the specification does not know reads
 * as zeroes and writes nothing. A reset waits until the device has let go of all guest memory. */
void virtio_mmio_read(struct virtio_mmio *mmio, uint64_t offset, void *data, size_t size);
void virtio_mmio_write(struct virtio_mmio *mmio, uint64_t offset, const void *data, size_t size);

/* What a page without a device reads as: the registers are there, the device's number is zero
 * (4.2.3.1.1). */
void virtio_mmio_read_empty(uint64_t offset, void *data, size_t size);
/* Whether no driver has it. Linux acknowledges a device again after its driver is gone. Any thread.
 */
bool virtio_mmio_is_free(struct virtio_mmio *mmio);

/* Device thread or loop not running: the guest is gone or frozen, let go of all guest memory.
 * Afterwards the device waits for a reset. */
void virtio_mmio_quiesce(struct virtio_mmio *mmio);

#pragma once
/* A guest driver for device tests: memory, rings and register accesses, with nothing that keeps it
 * from breaking the rules. Everything runs on one thread: kicks are served by guest_turn. */
#include "devices/virtio_mmio.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	GUEST_RAM = 1 << 20,
	GUEST_BASE = 0x10000000,
	GUEST_QUEUE_SIZE = 16, /* unless guest.queue_size says otherwise */
	GUEST_RINGS = 0x2000,  /* each queue's rings: 8 KiB from queue * GUEST_RINGS */
	GUEST_DATA = 0x10000,  /* free for the test from here */
};

struct guest {
	struct gmem mem;
	struct io *io;
	struct virtio_mmio *mmio;
	int irq_fd;
	uint16_t queue_size;
	uint16_t offered[VIRTIO_MAX_QUEUES], seen[VIRTIO_MAX_QUEUES];
};

static alignas(4096) uint8_t guest_ram[GUEST_RAM];

static inline gpa_t guest_at(size_t offset)
{
	return (gpa_t){ GUEST_BASE + offset };
}

static inline struct vring_desc *guest_desc(unsigned queue)
{
	return (struct vring_desc *)(void *)(guest_ram + queue * GUEST_RINGS);
}

static inline uint16_t *guest_avail(unsigned queue)
{
	return (uint16_t *)(void *)(guest_ram + queue * GUEST_RINGS + 0x1000);
}

static inline uint16_t *guest_used(unsigned queue)
{
	return (uint16_t *)(void *)(guest_ram + queue * GUEST_RINGS + 0x1400);
}

static inline uint32_t guest_read(struct guest *guest, uint64_t offset)
{
	uint32_t value = 0;

	virtio_mmio_read(guest->mmio, offset, &value, sizeof value);
	return value;
}

static inline void guest_write(struct guest *guest, uint64_t offset, uint32_t value)
{
	virtio_mmio_write(guest->mmio, offset, &value, sizeof value);
}

/* Every device's tests run on both engines: meson starts them a second time with this set. */
static inline enum io_backend guest_backend(enum io_backend wanted)
{
	const char *asked = getenv("KATAVM_TEST_BACKEND");

	if (wanted == IO_BACKEND_AUTO && asked && strcmp(asked, "epoll") == 0)
		return IO_BACKEND_EPOLL;
	return wanted;
}

static inline void guest_open_backend(struct guest *guest, struct virtio_device *device,
				      enum io_backend backend)
{
	memset(guest, 0, sizeof *guest);
	memset(guest_ram, 0, sizeof guest_ram);
	guest->queue_size = GUEST_QUEUE_SIZE;
	guest->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cr_assert_eq(gmem_add(&guest->mem, guest_at(0), guest_ram, sizeof guest_ram), 0);
	cr_assert_eq(
	    io_create(&(struct io_config){ .backend = guest_backend(backend) }, &guest->io), 0);
	cr_assert_eq(virtio_mmio_create(&(struct virtio_mmio_config){ .device = device,
								      .mem = &guest->mem,
								      .io = guest->io,
								      .irq_fd = guest->irq_fd },
					&guest->mmio),
		     0);
	if (guest_read(guest, VIRTIO_MMIO_QUEUE_NUM_MAX) < guest->queue_size)
		guest->queue_size = (uint16_t)guest_read(guest, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static inline void guest_open(struct guest *guest, struct virtio_device *device)
{
	guest_open_backend(guest, device, IO_BACKEND_AUTO);
}

static inline void guest_close(struct guest *guest)
{
	virtio_mmio_destroy(guest->mmio);
	io_destroy(guest->io);
	close(guest->irq_fd);
}

static inline void guest_set_queue(struct guest *guest, unsigned queue)
{
	uint32_t base = (uint32_t)(GUEST_BASE + queue * GUEST_RINGS);

	guest_write(guest, VIRTIO_MMIO_QUEUE_SEL, queue);
	guest_write(guest, VIRTIO_MMIO_QUEUE_NUM, guest->queue_size);
	guest_write(guest, VIRTIO_MMIO_QUEUE_DESC_LOW, base);
	guest_write(guest, VIRTIO_MMIO_QUEUE_AVAIL_LOW, base + 0x1000);
	guest_write(guest, VIRTIO_MMIO_QUEUE_USED_LOW, base + 0x1400);
	guest_write(guest, VIRTIO_MMIO_QUEUE_READY, 1);
}

/* As a driver that keeps the rules: up to DRIVER_OK. Returns the status read at the end. */
static inline uint32_t guest_start(struct guest *guest, uint64_t features)
{
	features |= UINT64_C(1) << VIRTIO_F_VERSION_1;
	guest_write(guest, VIRTIO_MMIO_STATUS, 0);
	memset(guest_ram, 0, virtio_mmio_queue_count(guest->mmio) * GUEST_RINGS);
	memset(guest->offered, 0, sizeof guest->offered);
	memset(guest->seen, 0, sizeof guest->seen);
	guest_write(guest, VIRTIO_MMIO_STATUS, 1);
	guest_write(guest, VIRTIO_MMIO_STATUS, 3);
	guest_write(guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	guest_write(guest, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	guest_write(guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	guest_write(guest, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	guest_write(guest, VIRTIO_MMIO_STATUS, 11);
	for (unsigned i = 0; i < virtio_mmio_queue_count(guest->mmio); i++)
		guest_set_queue(guest, i);
	guest_write(guest, VIRTIO_MMIO_STATUS, 15);
	return guest_read(guest, VIRTIO_MMIO_STATUS);
}

static inline void guest_set_desc(unsigned queue, unsigned index, size_t at, uint32_t size,
				  uint16_t flags, uint16_t next)
{
	guest_desc(queue)[index] = (struct vring_desc){ guest_at(at).value, size, flags, next };
}

/* Puts a head in the available ring, without a kick. */
static inline void guest_offer(struct guest *guest, unsigned queue, uint16_t head)
{
	uint16_t *avail = guest_avail(queue);

	avail[2 + guest->offered[queue] % guest->queue_size] = head;
	__atomic_store_n(&avail[1], ++guest->offered[queue], __ATOMIC_RELEASE);
}

static inline void guest_kick(struct guest *guest, unsigned queue)
{
	guest_write(guest, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

/* Runs the loop for a moment: before something that must not have happened. What must happen is
 * waited for with guest_turn_until or guest_wait. */
static inline void guest_turn(struct guest *guest)
{
	for (int i = 0; i < 6; i++)
		cr_assert_eq(io_turn(guest->io, i < 4 ? 0 : 2), 0);
}

/* However long it takes: a condition that never comes true ends with the test's time limit. */
#define guest_turn_until(guest, condition)                                                         \
	while (!(condition))                                                                       \
	cr_assert_eq(io_turn((guest)->io, 10), 0)

/* Reads what the device writes to the other end of `fd`; 0: it closed it. */
static inline long guest_read_fd(struct guest *guest, int fd, void *to, size_t size)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	guest_turn_until(guest, poll(&ready, 1, 0) == 1);
	return read(fd, to, size);
}

static inline uint16_t guest_used_index(unsigned queue)
{
	return __atomic_load_n(&guest_used(queue)[1], __ATOMIC_ACQUIRE);
}

/* The next used element; false: none. */
static inline bool guest_take(struct guest *guest, unsigned queue, struct vring_used_elem *out)
{
	if (guest_used_index(queue) == guest->seen[queue])
		return false;
	memcpy(out, &guest_used(queue)[2 + guest->seen[queue] % guest->queue_size * 4],
	       sizeof *out);
	guest->seen[queue]++;
	return true;
}

/* Turns until the queue has a used element. */
static inline struct vring_used_elem guest_wait(struct guest *guest, unsigned queue)
{
	struct vring_used_elem used = { 0 };

	guest_turn_until(guest, guest_take(guest, queue, &used));
	return used;
}

/* Was there an interrupt? Acknowledges it. */
static inline uint32_t guest_interrupt(struct guest *guest)
{
	uint64_t ticks = 0;
	uint32_t status = guest_read(guest, VIRTIO_MMIO_INTERRUPT_STATUS);

	if (read(guest->irq_fd, &ticks, sizeof ticks) != sizeof ticks)
		return 0;
	guest_write(guest, VIRTIO_MMIO_INTERRUPT_ACK, status);
	return status;
}

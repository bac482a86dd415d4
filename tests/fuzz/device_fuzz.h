#pragma once
/*
 * One fuzz input against one device: bytes of guest memory, then a script of what a guest can do.
 *   u16 size, size bytes   memory from address 0 on
 *   then, until the input ends, one byte that selects and its operands:
 *   0  register write: u16 offset, u32 value      4  memory write: u16 address / 2, u8 size, bytes
 *   1  register read: u16 offset                  5  a driver's start by the rules: u8 features
 *   2  kick: u8 queue                             6  access of odd width: u16 offset, u8 width
 *   3  turn of the loop                           7  the target's own: u8 (see each target)
 */
#include "base/check.h"
#include "base/log.h"
#include "devices/virtio_mmio.h"
#include <linux/virtio_mmio.h>
#include <stdalign.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_RAM = 128 * 1024, FUZZ_RINGS = 0x2000, FUZZ_STEPS = 256 };

struct fuzz {
	const uint8_t *at, *end;
	struct gmem mem;
	struct io *io;
	struct virtio_mmio *mmio;
	struct virtio_device *device;
	int irq_fd;
	void (*special)(struct fuzz *fuzz, uint8_t operand);
};

static alignas(4096) uint8_t fuzz_ram[FUZZ_RAM];

static inline size_t fuzz_take(struct fuzz *fuzz, void *to, size_t size)
{
	size_t left = (size_t)(fuzz->end - fuzz->at);

	memset(to, 0, size);
	if (size > left)
		size = left;
	memcpy(to, fuzz->at, size);
	fuzz->at += size;
	return size;
}

static inline void fuzz_write(struct fuzz *fuzz, uint16_t offset, uint32_t value)
{
	virtio_mmio_write(fuzz->mmio, offset % VIRTIO_MMIO_SIZE, &value, sizeof value);
}

static inline void fuzz_start(struct fuzz *fuzz, uint8_t features)
{
	fuzz_write(fuzz, VIRTIO_MMIO_STATUS, 0);
	fuzz_write(fuzz, VIRTIO_MMIO_STATUS, 3);
	fuzz_write(fuzz, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	fuzz_write(fuzz, VIRTIO_MMIO_DRIVER_FEATURES,
		   (uint32_t)(features & 3) << 28 | (features & 4 ? 1U << 9 : 0));
	fuzz_write(fuzz, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	fuzz_write(fuzz, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	fuzz_write(fuzz, VIRTIO_MMIO_STATUS, 11);
	for (uint32_t i = 0; i < virtio_mmio_queue_count(fuzz->mmio); i++) {
		fuzz_write(fuzz, VIRTIO_MMIO_QUEUE_SEL, i);
		fuzz_write(fuzz, VIRTIO_MMIO_QUEUE_NUM, 8);
		fuzz_write(fuzz, VIRTIO_MMIO_QUEUE_DESC_LOW, i * FUZZ_RINGS);
		fuzz_write(fuzz, VIRTIO_MMIO_QUEUE_AVAIL_LOW, i * FUZZ_RINGS + 0x1000);
		fuzz_write(fuzz, VIRTIO_MMIO_QUEUE_USED_LOW, i * FUZZ_RINGS + 0x1400);
		fuzz_write(fuzz, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	fuzz_write(fuzz, VIRTIO_MMIO_STATUS, 15);
}

static inline void fuzz_step(struct fuzz *fuzz)
{
	uint8_t select, byte;
	uint16_t offset;
	uint32_t value;
	uint64_t wide = 0;

	(void)fuzz_take(fuzz, &select, sizeof select);
	switch (select % 8) {
	case 0:
		(void)fuzz_take(fuzz, &offset, sizeof offset);
		(void)fuzz_take(fuzz, &value, sizeof value);
		fuzz_write(fuzz, offset, value);
		break;
	case 1:
		(void)fuzz_take(fuzz, &offset, sizeof offset);
		virtio_mmio_read(fuzz->mmio, offset % VIRTIO_MMIO_SIZE, &value, sizeof value);
		break;
	case 2:
		(void)fuzz_take(fuzz, &byte, sizeof byte);
		fuzz_write(fuzz, VIRTIO_MMIO_QUEUE_NOTIFY, byte % 4);
		CHECK(io_turn(fuzz->io, 0) == 0);
		break;
	case 3:
		CHECK(io_turn(fuzz->io, 0) == 0);
		break;
	case 4:
		(void)fuzz_take(fuzz, &offset, sizeof offset);
		(void)fuzz_take(fuzz, &byte, sizeof byte);
		if (offset * 2U + byte <= FUZZ_RAM)
			(void)fuzz_take(fuzz, fuzz_ram + offset * 2U, byte);
		break;
	case 5:
		(void)fuzz_take(fuzz, &byte, sizeof byte);
		fuzz_start(fuzz, byte);
		break;
	case 6:
		(void)fuzz_take(fuzz, &offset, sizeof offset);
		(void)fuzz_take(fuzz, &byte, sizeof byte);
		virtio_mmio_read(fuzz->mmio, offset % VIRTIO_MMIO_SIZE, &wide, byte % 8 + 1U);
		virtio_mmio_write(fuzz->mmio, offset % VIRTIO_MMIO_SIZE, &wide, byte % 8 + 1U);
		break;
	default:
		(void)fuzz_take(fuzz, &byte, sizeof byte);
		if (fuzz->special)
			fuzz->special(fuzz, byte);
		break;
	}
}

static inline void fuzz_device(const uint8_t *data, size_t size, struct virtio_device *device,
			       void (*special)(struct fuzz *fuzz, uint8_t operand))
{
	struct fuzz fuzz = { .at = data, .end = data + size, .device = device, .special = special };
	uint16_t memory;

	log_level = LOG_LEVEL_ERROR;
	memset(fuzz_ram, 0, sizeof fuzz_ram);
	(void)fuzz_take(&fuzz, &memory, sizeof memory);
	(void)fuzz_take(&fuzz, fuzz_ram, memory);
	fuzz.irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(gmem_add(&fuzz.mem, (gpa_t){ 0 }, fuzz_ram, sizeof fuzz_ram) == 0);
	/* epoll: each input gets a new loop, and requests are finished in the order of the script
	 */
	CHECK(io_create(&(struct io_config){ .backend = IO_BACKEND_EPOLL }, &fuzz.io) == 0);
	CHECK(virtio_mmio_create(
		  &(struct virtio_mmio_config){
		      .device = device, .mem = &fuzz.mem, .io = fuzz.io, .irq_fd = fuzz.irq_fd },
		  &fuzz.mmio) == 0);
	for (int i = 0; i < FUZZ_STEPS && fuzz.at < fuzz.end; i++)
		fuzz_step(&fuzz);
	virtio_mmio_destroy(fuzz.mmio);
	io_destroy(fuzz.io);
	(void)close(fuzz.irq_fd);
}

/*
 * A disk. A request is judged when it is popped: its header is copied, its range compared with the
 * size the disk had at the start, its data turned into segments of guest memory. What is left is a
 * struct request in a table of slots, which the event loop reads into or writes from directly. The
 * guest can change the data while that happens, and nothing else.
 *
 * Short transfers go on where they ended. Everything that finishes in one turn of the loop is
 * shown to the driver together, with one interrupt at the most.
 *
 * Reset: each busy slot is cancelled or waited for, so no disk request outlives the queue.
 */
#include "devices/virtio_blk.h"
#include "base/check.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/io.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/virtio_ids.h>
#include <stdalign.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum {
	QUEUE_SIZE = 64,
	SECTOR = 512,
	DATA_SEGMENTS = CHAIN_MAX_SEGMENTS - 2, /* without header and status */
	BLOCK_EXPONENT = 3,                     /* 4 KiB blocks suit host and guest best */
	MAX_DISCARD_SECTORS = 1 << 22,          /* 2 GiB */
};

/* virtio 1.3 section 5.2.3 */
#define FEATURE(bit)         (UINT64_C(1) << (bit))
#define FEATURE_SEG_MAX      FEATURE(2)
#define FEATURE_RO           FEATURE(5)
#define FEATURE_BLK_SIZE     FEATURE(6)
#define FEATURE_FLUSH        FEATURE(9)
#define FEATURE_TOPOLOGY     FEATURE(10)
#define FEATURE_DISCARD      FEATURE(13)
#define FEATURE_WRITE_ZEROES FEATURE(14)

enum { TYPE_IN, TYPE_OUT, TYPE_FLUSH = 4, TYPE_GET_ID = 8, TYPE_DISCARD = 11, TYPE_ZEROES = 13 };
enum { STATUS_OK, STATUS_IOERR, STATUS_UNSUPP, PENDING = 0x100 };
enum { FLAG_UNMAP = 1 };

struct header { /* 5.2.6 */
	uint32_t type, reserved;
	uint64_t sector;
};

struct range { /* discard and write zeroes */
	uint64_t sector;
	uint32_t sectors, flags;
};

struct config_space { /* 5.2.4 */
	uint64_t capacity;
	uint32_t size_max, seg_max;
	uint16_t cylinders;
	uint8_t heads, sectors;
	uint32_t blk_size;
	uint8_t physical_block_exp, alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback, unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
_Static_assert(sizeof(struct config_space) <= VIRTIO_MAX_CONFIG, "the configuration fits");

struct request {
	struct io_op op; /* first: the loop gives it back */
	struct blk *blk;
	uint32_t generation; /* of the queue it came from */
	uint32_t type;
	uint16_t head;
	uint32_t written;      /* to be reported: bytes of guest memory filled */
	uint64_t offset;       /* where the rest of the data goes */
	uint64_t left;         /* bytes */
	uint64_t length;       /* discard, write zeroes */
	struct iovec status;   /* one byte of guest memory */
	unsigned first, count; /* of segments */
	struct iovec segments[DATA_SEGMENTS];
};

struct blk {
	struct virtio_device device; /* first: the transport gives it back */
	int fd;
	bool read_only;
	char serial[VIRTIO_BLK_SERIAL_SIZE];
	uint64_t sectors;
	uint32_t generation;
	struct io_deferred publish;
	struct chain chain; /* the request being judged */
	/* slots; memory is touched only as deep as the queue was ever used */
	unsigned free_count, used_mark;
	uint16_t free[QUEUE_SIZE];
	struct request *requests;
};

static struct blk *blk_of(struct virtio_device *device)
{
	return (struct blk *)(void *)device;
}

/* ---- completion ---- */

static void publish(struct io_deferred *deferred)
{
	struct blk *blk = container_of(deferred, struct blk, publish);

	virtio_complete(&blk->device, 0);
}

static void give_back(struct blk *blk, struct request *request, int status)
{
	*(volatile uint8_t *)request->status.iov_base = (uint8_t)status;
	virtqueue_push_head(&blk->device.queues[0], request->head, request->written + 1);
	blk->free[blk->free_count++] = (uint16_t)(request - blk->requests);
	io_defer(blk->device.io, &blk->publish);
}

static bool is_write_through(const struct blk *blk)
{
	return !blk->read_only && !(blk->device.driver_features & FEATURE_FLUSH);
}

/* The first `done` bytes of the segments are dealt with. */
static void advance(struct request *request, uint64_t done)
{
	request->offset += done;
	request->left -= done;
	while (done > 0) {
		struct iovec *segment = &request->segments[request->first];

		if (done < segment->iov_len) {
			segment->iov_base = (uint8_t *)segment->iov_base + done;
			segment->iov_len -= done;
			return;
		}
		done -= segment->iov_len;
		request->first++;
		request->count--;
	}
}

/* The last sector of a read-only file may be short of data: the rest is zeroes. */
static bool zero_tail(struct request *request)
{
	if (!request->blk->read_only || request->left >= SECTOR)
		return false;
	for (unsigned i = 0; i < request->count; i++)
		memset(request->segments[request->first + i].iov_base, 0,
		       request->segments[request->first + i].iov_len);
	return true;
}

static void transferred(struct io_op *op, int result);

static void synced(struct io_op *op, int result)
{
	struct request *request = (struct request *)(void *)op;

	CHECK(request->generation == request->blk->generation);
	give_back(request->blk, request, result < 0 ? STATUS_IOERR : STATUS_OK);
}

static void zeroed(struct io_op *op, int result)
{
	struct request *request = (struct request *)(void *)op;
	struct blk *blk = request->blk;
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	CHECK(request->generation == blk->generation);
	/* tmpfs knows no zero range, but a hole reads as zeroes too */
	if (result == -EOPNOTSUPP && (int)op->mode != punch) {
		io_fallocate(blk->device.io, op, blk->fd, punch, request->offset, request->length,
			     zeroed);
		return;
	}
	if (result == 0 && is_write_through(blk)) {
		io_fdatasync(blk->device.io, op, blk->fd, synced);
		return;
	}
	if (result == -EOPNOTSUPP)
		give_back(blk, request, STATUS_UNSUPP);
	else
		give_back(blk, request, result < 0 ? STATUS_IOERR : STATUS_OK);
}

static void transfer(struct request *request)
{
	struct blk *blk = request->blk;
	const struct iovec *segments = request->segments + request->first;

	if (request->type == TYPE_IN)
		io_readv_at(blk->device.io, &request->op, blk->fd, segments, request->count,
			    request->offset, transferred);
	else
		io_writev_at(blk->device.io, &request->op, blk->fd, segments, request->count,
			     request->offset, transferred);
}

static void transferred(struct io_op *op, int result)
{
	struct request *request = (struct request *)(void *)op;
	struct blk *blk = request->blk;

	CHECK(request->generation == blk->generation);
	if (result > 0)
		advance(request, (uint64_t)result);
	if (result > 0 && request->left > 0) {
		transfer(request);
		return;
	}
	if (result < 0 || (request->left > 0 && !zero_tail(request))) {
		give_back(blk, request, STATUS_IOERR);
		return;
	}
	if (request->type == TYPE_OUT && is_write_through(blk))
		io_fdatasync(blk->device.io, op, blk->fd, synced);
	else
		give_back(blk, request, STATUS_OK);
}

/* ---- judging a request; each returns a status, or PENDING when the loop has it ---- */

static bool is_in_range(const struct blk *blk, uint64_t sector, uint64_t count)
{
	return count <= blk->sectors && sector <= blk->sectors - count;
}

static int start_transfer(struct blk *blk, struct request *request, uint64_t sector, size_t room)
{
	bool in = request->type == TYPE_IN;
	size_t size = in ? room : chain_readable(&blk->chain), covered = 0;

	if ((!in && blk->read_only) || size % SECTOR || !is_in_range(blk, sector, size / SECTOR))
		return STATUS_IOERR;
	if (size == 0)
		return STATUS_OK;
	request->first = 0;
	request->count =
	    in ? chain_peek_writable(&blk->chain, size, request->segments, DATA_SEGMENTS, &covered)
	       : chain_peek_readable(&blk->chain, size, request->segments, DATA_SEGMENTS, &covered);
	if (covered != size) /* more segments than announced in seg_max */
		return STATUS_IOERR;
	request->offset = sector * SECTOR;
	request->left = size;
	request->written = in ? (uint32_t)size : 0;
	transfer(request);
	return PENDING;
}

static int start_range(struct blk *blk, struct request *request)
{
	bool discard = request->type == TYPE_DISCARD, unmap;
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct range range;

	if (blk->read_only || chain_readable(&blk->chain) != sizeof range ||
	    !chain_get(&blk->chain, &range))
		return STATUS_IOERR;
	unmap = range.flags & FLAG_UNMAP;
	if ((range.flags & ~(uint32_t)FLAG_UNMAP) || (discard && unmap))
		return STATUS_UNSUPP;
	if (range.sectors > MAX_DISCARD_SECTORS || !is_in_range(blk, range.sector, range.sectors))
		return STATUS_IOERR;
	if (range.sectors == 0)
		return STATUS_OK;
	if (!discard && !unmap)
		mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	request->offset = range.sector * SECTOR;
	request->length = (uint64_t)range.sectors * SECTOR;
	io_fallocate(blk->device.io, &request->op, blk->fd, mode, request->offset, request->length,
		     zeroed);
	return PENDING;
}

static int start(struct blk *blk, struct request *request, uint64_t sector, size_t room)
{
	switch (request->type) {
	case TYPE_IN:
	case TYPE_OUT:
		return start_transfer(blk, request, sector, room);
	case TYPE_FLUSH:
		if (blk->read_only)
			return STATUS_OK;
		io_fdatasync(blk->device.io, &request->op, blk->fd, synced);
		return PENDING;
	case TYPE_GET_ID:
		request->written =
		    (uint32_t)chain_write(&blk->chain, blk->serial,
					  room < sizeof blk->serial ? room : sizeof blk->serial);
		return STATUS_OK;
	case TYPE_DISCARD:
	case TYPE_ZEROES:
		return start_range(blk, request);
	default:
		return STATUS_UNSUPP;
	}
}

/* The status is the last byte the device may write, wherever the segments end (5.2.6). */
static bool find_status(struct chain *chain, struct iovec *out)
{
	unsigned last = chain->readable_count + chain->writable_count - 1;

	if (chain->writable_count == 0)
		return false;
	*out = (struct iovec){ .iov_base = (uint8_t *)chain->segments[last].iov_base +
					   chain->segments[last].iov_len - 1,
			       .iov_len = 1 };
	return true;
}

static void serve(struct blk *blk)
{
	struct request *request;
	struct header header;
	struct iovec status_byte;
	uint16_t slot;
	int status;

	if (!chain_get(&blk->chain, &header) || !find_status(&blk->chain, &status_byte)) {
		virtio_break(&blk->device, "a disk request without header or status");
		return;
	}
	/* a head is in flight once, so there are as many slots as heads */
	CHECK(blk->free_count > 0);
	slot = blk->free[--blk->free_count];
	if (slot >= blk->used_mark)
		blk->used_mark = slot + 1U;
	request = &blk->requests[slot];
	request->blk = blk;
	request->generation = blk->generation;
	request->head = blk->chain.head;
	request->type = header.type;
	request->status = status_byte;
	request->written = 0;
	status = start(blk, request, header.sector, chain_writable(&blk->chain) - 1);
	if (status != PENDING)
		give_back(blk, request, status);
}

static void notify(struct virtio_device *device, unsigned queue)
{
	struct blk *blk = blk_of(device);
	unsigned served = 0;

	while (served < QUEUE_SIZE && virtio_pop(device, queue, &blk->chain)) {
		serve(blk);
		served++;
	}
	if (served == QUEUE_SIZE) /* others want the thread too */
		virtio_again(device, queue);
}

/* ---- life ---- */

static void free_all_slots(struct blk *blk)
{
	blk->free_count = QUEUE_SIZE;
	blk->used_mark = 0;
	for (unsigned i = 0; i < QUEUE_SIZE; i++) /* low numbers are taken first */
		blk->free[i] = (uint16_t)(QUEUE_SIZE - 1 - i);
}

static void quiesce(struct virtio_device *device)
{
	struct blk *blk = blk_of(device);

	for (unsigned i = 0; i < blk->used_mark; i++)
		io_cancel(&blk->requests[i].op);
	for (unsigned i = 0; i < blk->used_mark; i++)
		(void)io_cancel_wait(&blk->requests[i].op);
	io_defer_cancel(device->io, &blk->publish);
	free_all_slots(blk);
	blk->generation++;
}

static void destroy(struct virtio_device *device)
{
	struct blk *blk = blk_of(device);

	close_fd(&blk->fd);
	free(blk->requests);
	free(blk);
}

static const struct virtio_type type = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.notify = notify,
	.quiesce = quiesce,
	.destroy = destroy,
};

static int find_size(const struct virtio_blk_config *config, uint64_t *sectors)
{
	struct stat st;
	uint64_t bytes = 0;
	int r = (int)SYS(fstat, config->fd, &st);
	long flags = SYS(fcntl, config->fd, F_GETFL);

	if (r < 0)
		return r;
	if (flags < 0)
		return (int)flags;
	if (!config->read_only && (flags & O_ACCMODE) == O_RDONLY)
		return -EACCES;
	if (S_ISBLK(st.st_mode))
		r = sys_ioctl(config->fd, BLKGETSIZE64, &bytes);
	else if (S_ISREG(st.st_mode))
		bytes = (uint64_t)st.st_size;
	else
		r = -EINVAL;
	if (r < 0)
		return r;
	*sectors = bytes / SECTOR + (config->read_only && bytes % SECTOR != 0);
	return 0;
}

static void describe(struct blk *blk)
{
	struct config_space space = {
		.capacity = blk->sectors,
		.seg_max = DATA_SEGMENTS,
		.blk_size = SECTOR,
		.physical_block_exp = BLOCK_EXPONENT,
		.max_discard_sectors = MAX_DISCARD_SECTORS,
		.max_discard_seg = 1,
		.discard_sector_alignment = 1 << BLOCK_EXPONENT,
		.max_write_zeroes_sectors = MAX_DISCARD_SECTORS,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1,
	};

	blk->device.features = FEATURE_SEG_MAX | FEATURE_BLK_SIZE | FEATURE_TOPOLOGY;
	blk->device.features |=
	    blk->read_only ? FEATURE_RO : FEATURE_FLUSH | FEATURE_DISCARD | FEATURE_WRITE_ZEROES;
	memcpy(blk->device.config, &space, sizeof space);
	blk->device.config_size = sizeof space;
}

int virtio_blk_create(const struct virtio_blk_config *config, struct virtio_device **out)
{
	struct blk *blk;
	uint64_t sectors = 0;
	int r = find_size(config, &sectors);

	if (r < 0)
		return r;
	blk = calloc(1, sizeof *blk);
	if (!blk)
		return -ENOMEM;
	blk->requests = calloc(QUEUE_SIZE, sizeof *blk->requests);
	if (!blk->requests) {
		free(blk);
		return -ENOMEM;
	}
	virtio_device_init(&blk->device, &type);
	blk->fd = config->fd;
	blk->read_only = config->read_only;
	blk->sectors = sectors;
	blk->publish.run = publish;
	memcpy(blk->serial, config->serial, sizeof blk->serial);
	free_all_slots(blk);
	describe(blk);
	*out = &blk->device;
	return 0;
}

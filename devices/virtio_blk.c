/*
 * A disk: what the driver sees of it, when its requests are taken, and its life. blk_request.c has
 * what becomes of one request.
 *
 * A rate limit leaves requests in the queue: the one that cannot go is put back, and nothing is
 * taken until a timer says that it can. The driver notices a slow disk and nothing else.
 *
 * Requests that are done at once and come one by one are asked for in batches (kick_batch.h). While
 * the driver waits with its kick, a timer is running; it, or a kick, has the queue looked at. The
 * kick is asked for late only when nothing is in flight, and the ring is looked at once more after
 * that, so there is no order of events in which an offered request has neither.
 *
 * Reset: each busy slot is cancelled or waited for, so no disk request outlives the queue.
 */
#include "devices/virtio_blk.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/blk_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { MAX_BLOCK = 4096 }; /* also what suits host and guest best */

/* virtio 1.3 section 5.2.3 */
#define FEATURE(bit)         (UINT64_C(1) << (bit))
#define FEATURE_SEG_MAX      FEATURE(2)
#define FEATURE_RO           FEATURE(5)
#define FEATURE_BLK_SIZE     FEATURE(6)
#define FEATURE_TOPOLOGY     FEATURE(10)
#define FEATURE_DISCARD      FEATURE(13)
#define FEATURE_WRITE_ZEROES FEATURE(14)

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

static struct blk *blk_of(struct virtio_device *device)
{
	return (struct blk *)(void *)device;
}

/* ---- taking requests ---- */

static void take(struct blk *blk, enum kick_batch_look look);

static void limit_passed(struct io_op *op, int result)
{
	struct blk *blk = container_of(op, struct blk, limit_timer);

	(void)result; /* ended early: the limit was changed */
	if (blk->device.active && !blk->device.queues[0].broken)
		take(blk, KICK_BATCH_KICKED);
}

/* False: the chain was put back. */
static bool may_go(struct blk *blk)
{
	uint64_t bytes = chain_readable(&blk->chain) + chain_writable(&blk->chain), wait;

	if (!rate_limit_is_on(&blk->limit))
		return true;
	wait = rate_limit_take(&blk->limit, bytes, sys_monotonic_ns());
	blk->device.delayed = blk->limit.delayed;
	if (wait == 0)
		return true;
	virtqueue_unpop(&blk->device.queues[0], &blk->chain);
	io_timer(blk->device.io, &blk->limit_timer, wait, limit_passed);
	return false;
}

static unsigned take_share(struct blk *blk)
{
	unsigned served = 0;

	while (served < BLK_QUEUE_SIZE && virtio_pop(&blk->device, 0, &blk->chain)) {
		if (!may_go(blk))
			return served;
		blk_serve(blk);
		served++;
	}
	if (served == BLK_QUEUE_SIZE) /* others want the thread too */
		virtio_again(&blk->device, 0);
	return served;
}

static void take(struct blk *blk, enum kick_batch_look look)
{
	unsigned busy = BLK_QUEUE_SIZE - blk->free_count, served = take_share(blk);

	if (!blk->is_waiting) {
		if (served > 0)
			kick_batch_took(&blk->batch, busy + served);
		return;
	}
	if (served == 0 && look == KICK_BATCH_KICKED) { /* for what was taken before */
		if (virtqueue_enable_late_kick(&blk->device.queues[0], blk->batch.size))
			virtio_again(&blk->device, 0);
		return;
	}
	blk->is_waiting = false;
	kick_batch_waited(&blk->batch, served, look);
	io_cancel(&blk->batch_timer);
}

static void batch_timed_out(struct io_op *op, int result)
{
	struct blk *blk = container_of(op, struct blk, batch_timer);

	if (result == 0 && blk->is_waiting && !blk->device.queues[0].broken)
		take(blk, KICK_BATCH_TIMED_OUT);
}

/* Nothing is on its way to or from the disk, so that only the driver can have something to do. */
static bool may_wait(const struct blk *blk)
{
	return blk->batch.size > 1 && blk->free_count == BLK_QUEUE_SIZE &&
	       blk->device.queues[0].event_index && !blk->device.queues[0].broken &&
	       !rate_limit_is_on(&blk->limit) && !io_is_busy(&blk->batch_timer) &&
	       io_has_short_timers(blk->device.io);
}

static void wait_for_batch(struct blk *blk)
{
	if (virtqueue_enable_late_kick(&blk->device.queues[0], blk->batch.size)) {
		virtio_again(&blk->device, 0); /* whose kick nobody sends now */
		return;
	}
	blk->is_waiting = true;
	io_timer(blk->device.io, &blk->batch_timer, KICK_BATCH_WAIT_NS, batch_timed_out);
}

/* The driver is told how to kick before it hears that it can go on. */
static void publish(struct io_deferred *deferred)
{
	struct blk *blk = container_of(deferred, struct blk, publish);

	if (may_wait(blk))
		wait_for_batch(blk);
	virtio_complete(&blk->device, 0);
}

static void notify(struct virtio_device *device, unsigned queue)
{
	struct blk *blk = blk_of(device);

	(void)queue;
	if (!io_is_busy(&blk->limit_timer))
		take(blk, KICK_BATCH_KICKED);
}

/* ---- life ---- */

/* A disk that may go is not pinned: Linux 6.1 lets go of a pinned file a second after it was told
 * to, and for so long nobody else can have a block device, which is opened exclusively, nor unmount
 * a file's file system. */
static int activate(struct virtio_device *device)
{
	if (!blk_of(device)->may_go)
		io_pin(device->io, blk_of(device)->fd);
	kick_batch_init(&blk_of(device)->batch);
	return 0;
}

static void free_all_slots(struct blk *blk)
{
	blk->free_count = BLK_QUEUE_SIZE;
	blk->used_mark = 0;
	for (unsigned i = 0; i < BLK_QUEUE_SIZE; i++) /* low numbers are taken first */
		blk->free[i] = (uint16_t)(BLK_QUEUE_SIZE - 1 - i);
}

static void quiesce(struct virtio_device *device)
{
	struct blk *blk = blk_of(device);

	(void)io_cancel_wait(&blk->limit_timer);
	(void)io_cancel_wait(&blk->batch_timer);
	blk->is_waiting = false;
	for (unsigned i = 0; i < blk->used_mark; i++)
		io_cancel(&blk->requests[i].op);
	for (unsigned i = 0; i < blk->used_mark; i++)
		(void)io_cancel_wait(&blk->requests[i].op);
	io_defer_cancel(device->io, &blk->publish);
	io_unpin(device->io, blk->fd);
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
	.queue_size = BLK_QUEUE_SIZE,
	.activate = activate,
	.notify = notify,
	.quiesce = quiesce,
	.destroy = destroy,
};

/* What O_DIRECT wants requests to be multiples of; every file can do with the page size. */
static int find_block(int fd, bool is_device, unsigned *block)
{
	int size = 0, r;

	*block = MAX_BLOCK;
	if (!is_device)
		return 0;
	r = sys_ioctl(fd, BLKSSZGET, &size);
	if (r < 0)
		return r;
	if (size < BLK_SECTOR || size > MAX_BLOCK || (size & (size - 1)))
		return -EINVAL;
	*block = (unsigned)size;
	return 0;
}

static int find_bytes(int fd, const struct stat *st, uint64_t *bytes)
{
	if (S_ISBLK(st->st_mode))
		return sys_ioctl(fd, BLKGETSIZE64, bytes);
	*bytes = (uint64_t)st->st_size;
	return 0;
}

/* The last, short sector of a read-only file counts; that of another one does not. */
static uint64_t whole_sectors(uint64_t bytes, bool read_only)
{
	return bytes / BLK_SECTOR + (read_only && bytes % BLK_SECTOR != 0);
}

static int find_size(int fd, bool read_only, uint64_t *sectors, unsigned *block)
{
	struct stat st;
	uint64_t bytes = 0;
	int r = (int)SYS(fstat, fd, &st);
	long flags = SYS(fcntl, fd, F_GETFL);

	*block = BLK_SECTOR;
	if (r < 0)
		return r;
	if (flags < 0)
		return (int)flags;
	if (!read_only && (flags & O_ACCMODE) == O_RDONLY)
		return -EACCES;
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return -EINVAL;
	r = find_bytes(fd, &st, &bytes);
	if (r == 0 && (flags & O_DIRECT))
		r = find_block(fd, S_ISBLK(st.st_mode), block);
	if (r < 0)
		return r;
	if ((flags & O_DIRECT) && bytes % *block != 0)
		return -EINVAL;
	*sectors = whole_sectors(bytes, read_only);
	return 0;
}

static void describe(struct blk *blk)
{
	struct config_space space = {
		.capacity = blk->sectors,
		.seg_max = BLK_DATA_SEGMENTS,
		.blk_size = blk->block_size,
		.max_discard_sectors = BLK_MAX_DISCARD_SECTORS,
		.max_discard_seg = 1,
		.discard_sector_alignment = MAX_BLOCK / BLK_SECTOR,
		.max_write_zeroes_sectors = BLK_MAX_DISCARD_SECTORS,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1,
	};

	while (blk->block_size << space.physical_block_exp < MAX_BLOCK)
		space.physical_block_exp++;
	blk->device.features = FEATURE_SEG_MAX | FEATURE_BLK_SIZE | FEATURE_TOPOLOGY;
	blk->device.features |= blk->read_only
				    ? FEATURE_RO
				    : BLK_FEATURE_FLUSH | FEATURE_DISCARD | FEATURE_WRITE_ZEROES;
	memcpy(blk->device.config, &space, sizeof space);
	blk->device.config_size = sizeof space;
}

int virtio_blk_create(const struct virtio_blk_config *config, struct virtio_device **out)
{
	struct blk *blk;
	uint64_t sectors = 0;
	unsigned block;
	int r = find_size(config->fd, config->read_only, &sectors, &block);

	if (r < 0)
		return r;
	blk = calloc(1, sizeof *blk);
	if (!blk)
		return -ENOMEM;
	blk->requests = calloc(BLK_QUEUE_SIZE, sizeof *blk->requests);
	if (!blk->requests) {
		free(blk);
		return -ENOMEM;
	}
	virtio_device_init(&blk->device, &type);
	blk->fd = config->fd;
	blk->read_only = config->read_only;
	blk->may_go = config->may_go;
	blk->sectors = sectors;
	blk->block_size = block;
	blk->publish.run = publish;
	memcpy(blk->serial, config->serial, sizeof blk->serial);
	rate_limit_init(&blk->limit, &config->limit);
	free_all_slots(blk);
	describe(blk);
	*out = &blk->device;
	return 0;
}

int virtio_blk_resize(struct virtio_device *device, uint64_t *bytes)
{
	struct blk *blk = blk_of(device);
	uint64_t sectors;
	unsigned block;
	int r = find_size(blk->fd, blk->read_only, &sectors, &block);

	if (r < 0)
		return r;
	if (sectors != blk->sectors) {
		blk->sectors = sectors;
		virtio_config_update(device, offsetof(struct config_space, capacity), &sectors,
				     sizeof sectors);
	}
	*bytes = sectors * BLK_SECTOR;
	return 0;
}

void virtio_blk_set_limit(struct virtio_device *device, const struct rate_limit_config *limit)
{
	struct blk *blk = blk_of(device);

	rate_limit_init(&blk->limit, limit);
	io_cancel(&blk->limit_timer); /* what waits for the old one goes on */
}

bool virtio_blk_serial(const struct virtio_device *device, char out[VIRTIO_BLK_SERIAL_SIZE])
{
	const struct blk *blk = (const struct blk *)(const void *)device;

	if (device->type != &type)
		return false;
	memcpy(out, blk->serial, sizeof blk->serial);
	return true;
}

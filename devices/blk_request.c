/*
 * One disk request. It is judged when it is popped: its header is copied, its range compared with
 * the size of the disk, its data turned into segments of guest memory. What is left is a struct
 * blk_request in a table of slots, which the event loop reads into or writes from directly. The
 * guest can change the data while that happens, and nothing else.
 *
 * Short transfers go on where they ended. Everything that finishes in one turn of the loop is
 * shown to the driver together, with one interrupt at the most.
 */
#include "base/check.h"
#include "devices/blk_private.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>

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

/* ---- completion ---- */

static void give_back(struct blk *blk, struct blk_request *request, int status)
{
	*(volatile uint8_t *)request->status.iov_base = (uint8_t)status;
	virtqueue_push_head(&blk->device.queues[0], request->head, request->written + 1);
	blk->free[blk->free_count++] = (uint16_t)(request - blk->requests);
	io_defer(blk->device.io, &blk->publish);
}

static bool is_write_through(const struct blk *blk)
{
	return !blk->read_only && !(blk->device.driver_features & BLK_FEATURE_FLUSH);
}

/* The first `done` bytes of the segments are dealt with. */
static void advance(struct blk_request *request, uint64_t done)
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

/* The last sector of a read-only file may be short of data: the rest is zeroes. Anywhere else the
 * file became shorter than it was. */
static bool zero_tail(struct blk_request *request)
{
	const struct blk *blk = request->blk;

	if (!blk->read_only || request->left >= BLK_SECTOR ||
	    request->offset + request->left != blk->sectors * BLK_SECTOR)
		return false;
	for (unsigned i = 0; i < request->count; i++)
		memset(request->segments[request->first + i].iov_base, 0,
		       request->segments[request->first + i].iov_len);
	return true;
}

static void transferred(struct io_op *op, int result);

static void synced(struct io_op *op, int result)
{
	struct blk_request *request = (struct blk_request *)(void *)op;

	CHECK(request->generation == request->blk->generation);
	give_back(request->blk, request, result < 0 ? STATUS_IOERR : STATUS_OK);
}

static void zeroed(struct io_op *op, int result)
{
	struct blk_request *request = (struct blk_request *)(void *)op;
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

static void transfer(struct blk_request *request)
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
	struct blk_request *request = (struct blk_request *)(void *)op;
	struct blk *blk = request->blk;

	CHECK(request->generation == blk->generation);
	if (result > 0)
		advance(request, (uint64_t)result);
	if (result > 0 && request->type == TYPE_IN)
		blk->device.stats[0].to_guest += (uint64_t)result;
	else if (result > 0)
		blk->device.stats[0].from_guest += (uint64_t)result;
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

static int start_transfer(struct blk *blk, struct blk_request *request, uint64_t sector,
			  size_t room)
{
	bool in = request->type == TYPE_IN;
	size_t size = in ? room : chain_readable(&blk->chain), covered = 0;

	if (size > UINT32_MAX - BLK_SECTOR) /* more than a chain may hold (2.7.13.2) */
		return STATUS_IOERR;
	if ((!in && blk->read_only) || size % BLK_SECTOR ||
	    !is_in_range(blk, sector, size / BLK_SECTOR))
		return STATUS_IOERR;
	if (size == 0)
		return STATUS_OK;
	request->first = 0;
	request->count = in ? chain_peek_writable(&blk->chain, size, request->segments,
						  BLK_DATA_SEGMENTS, &covered)
			    : chain_peek_readable(&blk->chain, size, request->segments,
						  BLK_DATA_SEGMENTS, &covered);
	if (covered != size) /* more segments than announced in seg_max */
		return STATUS_IOERR;
	request->offset = sector * BLK_SECTOR;
	request->left = size;
	request->written = in ? (uint32_t)size : 0;
	transfer(request);
	return PENDING;
}

static int start_range(struct blk *blk, struct blk_request *request)
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
	if (range.sectors > BLK_MAX_DISCARD_SECTORS ||
	    !is_in_range(blk, range.sector, range.sectors))
		return STATUS_IOERR;
	if (range.sectors == 0)
		return STATUS_OK;
	if (!discard && !unmap)
		mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	request->offset = range.sector * BLK_SECTOR;
	request->length = (uint64_t)range.sectors * BLK_SECTOR;
	io_fallocate(blk->device.io, &request->op, blk->fd, mode, request->offset, request->length,
		     zeroed);
	return PENDING;
}

static int start(struct blk *blk, struct blk_request *request, uint64_t sector, size_t room)
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

void blk_serve(struct blk *blk)
{
	struct blk_request *request;
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

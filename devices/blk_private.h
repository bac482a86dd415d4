#pragma once
#include "devices/io.h"
#include "devices/kick_batch.h"
#include "devices/rate_limit.h"
#include "devices/virtio_blk.h"

/* For virtio_blk.c (the device) and blk_request.c (one request). */
enum {
	BLK_QUEUE_SIZE = 64,
	BLK_SECTOR = 512,
	BLK_DATA_SEGMENTS = CHAIN_MAX_SEGMENTS - 2, /* without header and status */
	BLK_MAX_DISCARD_SECTORS = 1 << 22,          /* 2 GiB */
};

/* virtio 1.3 section 5.2.3 */
#define BLK_FEATURE_FLUSH (UINT64_C(1) << 9)

struct blk;

struct blk_request {
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
	struct iovec segments[BLK_DATA_SEGMENTS];
};

struct blk {
	struct virtio_device device; /* first: the transport gives it back */
	int fd;
	bool read_only, may_go;
	char serial[VIRTIO_BLK_SERIAL_SIZE];
	uint64_t sectors;
	unsigned block_size; /* what the file wants requests to be multiples of */
	uint32_t generation;
	struct io_deferred publish;
	struct rate_limit limit;
	struct io_op limit_timer; /* busy: nothing is taken from the queue until it is done */
	struct chain chain;       /* the request being judged */
	struct kick_batch batch;
	bool is_waiting; /* the driver kicks for a full batch only; batch_timer is busy */
	struct io_op batch_timer;
	/* slots; memory is touched only as deep as the queue was ever used */
	unsigned free_count, used_mark;
	uint16_t free[BLK_QUEUE_SIZE];
	struct blk_request *requests;
};

/* Judges blk->chain, just popped, and starts or answers it. */
void blk_serve(struct blk *blk);

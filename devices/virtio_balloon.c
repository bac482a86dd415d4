/*
 * The balloon. Nothing is ever read from or written to the pages the guest gives: they are handed
 * to `release`, and a page that is touched again is simply there. So a guest that lies about what
 * it does not use loses its own memory and nothing else, and taking pages back (deflating) is no
 * work. A request may name much memory, and giving it back takes the host time: it is done a piece
 * at a time, so that the other devices have their turn.
 */
#include "devices/virtio_balloon.h"
#include "base/own.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

enum {
	INFLATE_QUEUE,
	DEFLATE_QUEUE,
	REPORTING_QUEUE,
	QUEUE_COUNT,
	QUEUE_SIZE = 32, /* Linux reports up to so many blocks in one request */
	NUMBERS = 256,   /* of pages, taken from a request at once; Linux sends no more */
	PIECE = 4 << 20, /* of a reported block: the largest that Linux has */
	STEPS_PER_TURN = 4,
	/* of the configuration (5.5.4) */
	NUM_PAGES = 0,
	ACTUAL = 4,
	CONFIG_SIZE = 8,
	/* features (5.5.3) */
	DEFLATE_ON_OOM = 2,
	REPORTING = 5,
};

struct balloon {
	struct virtio_device device; /* first: the transport gives it back */
	struct virtio_balloon_config config;
	bool has_chain[QUEUE_COUNT]; /* being worked on, a piece each turn */
	struct chain chains[QUEUE_COUNT];
};

static struct balloon *balloon_of(struct virtio_device *device)
{
	return (struct balloon *)(void *)device;
}

static void release(struct balloon *balloon, gpa_t start, uint64_t pages)
{
	struct iovec range;

	if (pages == 0)
		return;
	if (gmem_iovec(balloon->device.mem, start, pages * VIRTIO_BALLOON_PAGE, &range) == 0)
		balloon->config.release(balloon->config.context, &range);
}

/* Each of these does a piece of a request; false: the guest broke the rules. */

/* Pages that follow each other are given back in one go. */
static bool inflate(struct balloon *balloon, struct chain *chain)
{
	uint32_t numbers[NUMBERS];
	size_t count = chain_read(chain, numbers, sizeof numbers) / sizeof *numbers;
	gpa_t start = { 0 };
	uint64_t pages = 0;

	for (size_t i = 0; i < count; i++) {
		gpa_t at = { (uint64_t)numbers[i] * VIRTIO_BALLOON_PAGE };
		struct iovec range;

		if (gmem_iovec(balloon->device.mem, at, VIRTIO_BALLOON_PAGE, &range) < 0)
			return false;
		if (pages > 0 && at.value == start.value + pages * VIRTIO_BALLOON_PAGE) {
			pages++;
			continue;
		}
		release(balloon, start, pages);
		start = at;
		pages = 1;
	}
	release(balloon, start, pages);
	return true;
}

/* The guest touches them and they are there. */
static bool deflate(struct balloon *balloon, struct chain *chain)
{
	(void)balloon;
	chain->read_position += chain_readable(chain);
	return true;
}

/* The descriptors are the blocks themselves; nothing is written to them. */
static bool report(struct balloon *balloon, struct chain *chain)
{
	struct iovec range;
	size_t covered;

	if (chain_peek_writable(chain, PIECE, &range, 1, &covered) == 1) {
		balloon->config.release(balloon->config.context, &range);
		chain->write_position += covered;
	}
	return true;
}

static bool is_done(unsigned queue, const struct chain *chain)
{
	return queue == REPORTING_QUEUE ? chain_writable(chain) == 0 : chain_readable(chain) == 0;
}

static void notify(struct virtio_device *device, unsigned queue)
{
	static bool (*const steps[])(struct balloon *, struct chain *) = {
		[INFLATE_QUEUE] = inflate,
		[DEFLATE_QUEUE] = deflate,
		[REPORTING_QUEUE] = report,
	};
	struct balloon *balloon = balloon_of(device);
	struct chain *chain = &balloon->chains[queue];
	int step = 0;

	for (; step < STEPS_PER_TURN; step++) {
		if (!balloon->has_chain[queue] && !virtio_pop(device, queue, chain))
			break;
		balloon->has_chain[queue] = true;
		if (!steps[queue](balloon, chain)) {
			virtio_break(device, "a page outside of memory");
			return;
		}
		if (!is_done(queue, chain))
			continue;
		virtqueue_push_head(&device->queues[queue], chain->head, 0);
		balloon->has_chain[queue] = false;
	}
	virtio_complete(device, queue);
	if (step == STEPS_PER_TURN)
		virtio_again(device, queue);
}

static void quiesce(struct virtio_device *device)
{
	struct balloon *balloon = balloon_of(device);

	memset(balloon->has_chain, 0, sizeof balloon->has_chain);
}

static bool config_writable(size_t offset, size_t size)
{
	return offset == ACTUAL && size == sizeof(uint32_t);
}

static void destroy(struct virtio_device *device)
{
	free(balloon_of(device));
}

static const struct virtio_type type = {
	.name = "virtio-balloon",
	.id = VIRTIO_ID_BALLOON,
	.queue_count = QUEUE_COUNT,
	.queue_size = QUEUE_SIZE,
	.notify = notify,
	.quiesce = quiesce,
	.destroy = destroy,
};

void virtio_balloon_set_target(struct virtio_device *device, uint32_t pages)
{
	virtio_config_update(device, NUM_PAGES, &pages, sizeof pages);
}

uint32_t virtio_balloon_actual(struct virtio_device *device)
{
	uint32_t pages;

	(void)pthread_mutex_lock(&device->config_lock);
	memcpy(&pages, device->config + ACTUAL, sizeof pages);
	(void)pthread_mutex_unlock(&device->config_lock);
	return pages;
}

int virtio_balloon_create(const struct virtio_balloon_config *config, struct virtio_device **out)
{
	struct balloon *balloon = calloc(1, sizeof *balloon);

	if (!balloon)
		return -ENOMEM;
	virtio_device_init(&balloon->device, &type);
	balloon->device.features = UINT64_C(1) << DEFLATE_ON_OOM | UINT64_C(1) << REPORTING;
	balloon->device.config_size = CONFIG_SIZE;
	balloon->device.config_writable = config_writable;
	balloon->config = *config;
	*out = &balloon->device;
	return 0;
}

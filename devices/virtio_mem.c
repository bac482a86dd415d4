/*
 * A block of the region is plugged or not, which is one bit. The guest asks for blocks to change;
 * it gets no more than was requested for it, and only what is there. What it unplugs goes back to
 * the host at once. A guest that uses what it has not plugged finds memory, or none: it cannot
 * have more than the usable part of the region, which is what its owner once allowed.
 */
#include "devices/virtio_mem.h"
#include "base/own.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

enum {
	QUEUE_SIZE = 16,
	REQUESTS_PER_TURN = 16,
	UNPLUGGED_INACCESSIBLE = 1, /* feature (5.15.3) */
	CONFIG_SIZE = 56,
	/* configuration (5.15.4) */
	BLOCK_SIZE = 0,
	ADDRESS = 16,
	REGION_SIZE = 24,
	USABLE = 32,
	PLUGGED = 40,
	REQUESTED = 48,
};

enum { TYPE_PLUG, TYPE_UNPLUG, TYPE_UNPLUG_ALL, TYPE_STATE };
enum { ANSWER_ACK, ANSWER_NACK, ANSWER_BUSY, ANSWER_ERROR };
enum { STATE_PLUGGED, STATE_UNPLUGGED, STATE_MIXED };

struct request { /* 5.15.6 */
	uint16_t type, padding[3];
	uint64_t address;
	uint16_t block_count, padding2[3];
};

struct answer {
	uint16_t type, padding[3], state;
};

struct mem {
	struct virtio_device device; /* first: the transport gives it back */
	struct virtio_mem_setup setup;
	uint64_t usable, requested, plugged; /* bytes */
	struct chain chain;
	uint64_t *bits; /* a block each: plugged */
};

static struct mem *mem_of(struct virtio_device *device)
{
	return (struct mem *)(void *)device;
}

static bool is_plugged(const struct mem *mem, uint64_t block)
{
	return mem->bits[block / 64] >> block % 64 & 1;
}

static void set_plugged(struct mem *mem, uint64_t block, bool plugged)
{
	uint64_t bit = UINT64_C(1) << block % 64;

	if (plugged)
		mem->bits[block / 64] |= bit;
	else
		mem->bits[block / 64] &= ~bit;
}

/* Without an interrupt: the driver knows. */
static void set_config(struct mem *mem, size_t offset, uint64_t value)
{
	(void)pthread_mutex_lock(&mem->device.config_lock);
	memcpy(mem->device.config + offset, &value, sizeof value);
	(void)pthread_mutex_unlock(&mem->device.config_lock);
}

/* Blocks [*first, *first + *count) are meant, all in the usable part. */
static bool find_blocks(const struct mem *mem, const struct request *request, uint64_t *first,
			uint64_t *count)
{
	uint64_t offset = request->address - mem->setup.start.value;
	uint64_t size = (uint64_t)request->block_count * VIRTIO_MEM_BLOCK;

	if (request->address < mem->setup.start.value || offset % VIRTIO_MEM_BLOCK || size == 0 ||
	    size > mem->usable || offset > mem->usable - size)
		return false;
	*first = offset / VIRTIO_MEM_BLOCK;
	*count = request->block_count;
	return true;
}

static uint64_t count_plugged(const struct mem *mem, uint64_t first, uint64_t count)
{
	uint64_t sum = 0;

	for (uint64_t i = first; i < first + count; i++)
		sum += is_plugged(mem, i);
	return sum;
}

static void change(struct mem *mem, uint64_t first, uint64_t count, bool plugged)
{
	for (uint64_t i = first; i < first + count; i++)
		set_plugged(mem, i, plugged);
	if (plugged)
		mem->plugged += count * VIRTIO_MEM_BLOCK;
	else
		mem->plugged -= count * VIRTIO_MEM_BLOCK;
	set_config(mem, PLUGGED, mem->plugged);
}

static void give_back(struct mem *mem, uint64_t first, uint64_t count)
{
	gpa_t start = { mem->setup.start.value + first * VIRTIO_MEM_BLOCK };
	struct iovec range;

	if (gmem_iovec(mem->device.mem, start, count * VIRTIO_MEM_BLOCK, &range) == 0)
		mem->setup.release(mem->setup.context, &range);
}

static uint16_t plug(struct mem *mem, const struct request *request)
{
	uint64_t first, count;

	if (!find_blocks(mem, request, &first, &count) || count_plugged(mem, first, count) > 0)
		return ANSWER_ERROR;
	if (mem->plugged > mem->requested ||
	    count * VIRTIO_MEM_BLOCK > mem->requested - mem->plugged)
		return ANSWER_NACK;
	change(mem, first, count, true);
	return ANSWER_ACK;
}

static uint16_t unplug(struct mem *mem, const struct request *request)
{
	uint64_t first, count;

	if (!find_blocks(mem, request, &first, &count) || count_plugged(mem, first, count) != count)
		return ANSWER_ERROR;
	change(mem, first, count, false);
	give_back(mem, first, count);
	return ANSWER_ACK;
}

/* What was not plugged may have been used all the same. */
static uint16_t unplug_all(struct mem *mem)
{
	uint64_t count = mem->usable / VIRTIO_MEM_BLOCK;

	memset(mem->bits, 0, (count + 63) / 64 * sizeof *mem->bits);
	mem->plugged = 0;
	set_config(mem, PLUGGED, 0);
	if (count > 0)
		give_back(mem, 0, count);
	return ANSWER_ACK;
}

static uint16_t tell_state(const struct mem *mem, const struct request *request, uint16_t *state)
{
	uint64_t first, count, plugged;

	if (!find_blocks(mem, request, &first, &count))
		return ANSWER_ERROR;
	plugged = count_plugged(mem, first, count);
	*state = plugged == 0 ? STATE_UNPLUGGED : plugged == count ? STATE_PLUGGED : STATE_MIXED;
	return ANSWER_ACK;
}

static bool serve(struct mem *mem)
{
	struct request request;
	struct answer answer = { .type = ANSWER_ERROR };

	if (!chain_get(&mem->chain, &request))
		return false;
	switch (request.type) {
	case TYPE_PLUG:
		answer.type = plug(mem, &request);
		break;
	case TYPE_UNPLUG:
		answer.type = unplug(mem, &request);
		break;
	case TYPE_UNPLUG_ALL:
		answer.type = unplug_all(mem);
		break;
	case TYPE_STATE:
		answer.type = tell_state(mem, &request, &answer.state);
		break;
	default:
		break;
	}
	return chain_put(&mem->chain, &answer);
}

static void notify(struct virtio_device *device, unsigned queue)
{
	struct mem *mem = mem_of(device);
	int served = 0;

	for (; served < REQUESTS_PER_TURN && virtio_pop(device, queue, &mem->chain); served++) {
		if (!serve(mem)) {
			virtio_break(device, "a request without room for its answer");
			return;
		}
		virtqueue_push(&device->queues[queue], &mem->chain);
	}
	virtio_complete(device, queue);
	if (served == REQUESTS_PER_TURN)
		virtio_again(device, queue);
}

static void destroy(struct virtio_device *device)
{
	struct mem *mem = mem_of(device);

	free(mem->bits);
	free(mem);
}

static const struct virtio_type type = {
	.name = "virtio-mem",
	.id = VIRTIO_ID_MEM,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.notify = notify,
	.destroy = destroy,
};

void virtio_mem_request(struct virtio_device *device, uint64_t usable, uint64_t requested)
{
	struct mem *mem = mem_of(device);

	mem->usable = usable;
	mem->requested = requested;
	set_config(mem, USABLE, usable);
	virtio_config_update(device, REQUESTED, &requested, sizeof requested);
}

uint64_t virtio_mem_plugged(const struct virtio_device *device)
{
	return ((const struct mem *)(const void *)device)->plugged;
}

int virtio_mem_create(const struct virtio_mem_setup *setup, struct virtio_device **out)
{
	struct mem *mem = calloc(1, sizeof *mem);
	uint64_t blocks = setup->size / VIRTIO_MEM_BLOCK;

	if (!mem)
		return -ENOMEM;
	mem->bits = calloc(blocks / 64 + 1, sizeof *mem->bits);
	if (!mem->bits) {
		free(mem);
		return -ENOMEM;
	}
	virtio_device_init(&mem->device, &type);
	mem->device.features = UINT64_C(1) << UNPLUGGED_INACCESSIBLE;
	mem->device.config_size = CONFIG_SIZE;
	mem->setup = *setup;
	set_config(mem, BLOCK_SIZE, VIRTIO_MEM_BLOCK);
	set_config(mem, ADDRESS, setup->start.value);
	set_config(mem, REGION_SIZE, setup->size);
	*out = &mem->device;
	return 0;
}

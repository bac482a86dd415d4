/*
 * virtio-rng: every chain gets one buffer of random bytes (virtio 1.3, 5.4). They cost the host
 * time, so they are limited; a chain that cannot go yet stays in the queue until a timer says that
 * it can.
 */
#include "devices/virtio_rng.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/io.h"

#include <linux/virtio_ids.h>
#include <sys/random.h>

/* A driver that gives its buffers back at once must not keep the device thread for itself. */
enum { QUEUE_SIZE = 8, CHAINS_PER_TURN = 64 };

struct rng {
	struct virtio_device device; /* first: the transport gives it back */
	struct rate_limit limit;
	struct io_op timer;
	struct chain chain;
};

static struct rng *rng_of(struct virtio_device *device)
{
	return (struct rng *)(void *)device;
}

static void on_time(struct io_op *op, int result)
{
	struct rng *rng = container_of(op, struct rng, timer);

	if (result == 0)
		virtio_again(&rng->device, 0);
}

/* False: the limit says to wait. */
static bool fill(struct rng *rng)
{
	uint8_t noise[256]; /* one getrandom(2) of this size cannot be interrupted */
	struct virtqueue *queue = &rng->device.queues[0];
	uint64_t wait_ns = rate_limit_take(&rng->limit, sizeof noise, sys_monotonic_ns());
	long got;

	if (wait_ns > 0) {
		virtqueue_unpop(queue, &rng->chain);
		rng->device.delayed++;
		io_timer(rng->device.io, &rng->timer, wait_ns, on_time);
		return false;
	}
	got = SYS(getrandom, noise, sizeof noise, 0);
	if (got > 0)
		(void)chain_write(&rng->chain, noise, (size_t)got);
	virtqueue_push(queue, &rng->chain);
	return true;
}

static void serve(struct virtio_device *device, unsigned queue)
{
	struct rng *rng = rng_of(device);
	int turn = 0;

	if (io_is_busy(&rng->timer))
		return;
	for (; turn < CHAINS_PER_TURN && virtio_pop(device, queue, &rng->chain); turn++)
		if (!fill(rng))
			break;
	virtio_complete(device, queue);
	if (turn == CHAINS_PER_TURN)
		virtio_again(device, queue);
}

static void quiesce(struct virtio_device *device)
{
	(void)io_cancel_wait(&rng_of(device)->timer);
}

static void destroy(struct virtio_device *device)
{
	free(rng_of(device));
}

static const struct virtio_type type = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.notify = serve,
	.quiesce = quiesce,
	.destroy = destroy,
};

int virtio_rng_create(const struct rate_limit_config *limit, struct virtio_device **out)
{
	struct rng *rng = calloc(1, sizeof *rng);

	if (!rng)
		return -ENOMEM;
	virtio_device_init(&rng->device, &type);
	rate_limit_init(&rng->limit, limit);
	*out = &rng->device;
	return 0;
}

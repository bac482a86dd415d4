/* virtio-rng: every chain gets one buffer of random bytes (virtio 1.3, 5.4). */
#include "devices/virtio_rng.h"
#include "base/own.h"
#include "base/sys.h"

#include <linux/virtio_ids.h>
#include <sys/random.h>

/* A driver that gives its buffers back at once must not keep the device thread for itself. */
enum { QUEUE_SIZE = 8, CHAINS_PER_TURN = 64 };

static void serve(struct virtio_device *device, unsigned queue)
{
	struct chain chain;
	uint8_t noise[256]; /* one getrandom(2) of this size cannot be interrupted */
	int turn = 0;

	for (; turn < CHAINS_PER_TURN && virtio_pop(device, queue, &chain); turn++) {
		long got = SYS(getrandom, noise, sizeof noise, 0);

		if (got > 0)
			(void)chain_write(&chain, noise, (size_t)got);
		virtqueue_push(&device->queues[queue], &chain);
	}
	virtio_complete(device, queue);
	if (turn == CHAINS_PER_TURN)
		virtio_again(device, queue);
}

static void destroy(struct virtio_device *device)
{
	free(device);
}

static const struct virtio_type type = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.notify = serve,
	.destroy = destroy,
};

int virtio_rng_create(struct virtio_device **out)
{
	struct virtio_device *device = calloc(1, sizeof *device);

	if (!device)
		return -ENOMEM;
	virtio_device_init(device, &type);
	*out = device;
	return 0;
}

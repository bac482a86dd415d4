/* A balloon whose pages must be the guest's. The target's own operation asks for pages. */
#include "device_fuzz.h"
#include "devices/virtio_balloon.h"

static void check_range(void *context, const struct iovec *range)
{
	const uint8_t *at = range->iov_base;

	(void)context;
	CHECK(at >= fuzz_ram && range->iov_len <= FUZZ_RAM &&
	      at + range->iov_len <= fuzz_ram + FUZZ_RAM);
	/* what was given back may be anything */
	memset(range->iov_base, 0x5a, range->iov_len);
}

static void ask(struct fuzz *fuzz, uint8_t operand)
{
	virtio_balloon_set_target(fuzz->device, operand);
	(void)virtio_balloon_actual(fuzz->device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device *device;

	CHECK(virtio_balloon_create(&(struct virtio_balloon_config){ .release = check_range },
				    &device) == 0);
	fuzz_device(data, size, device, ask);
	return 0;
}

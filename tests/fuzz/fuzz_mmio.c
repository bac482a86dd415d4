/* The register page, in front of the simplest device. */
#include "device_fuzz.h"
#include "devices/virtio_rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device *device;

	CHECK(virtio_rng_create(
		  &(struct rate_limit_config){ .bytes_rate = 1 << 20, .operations_rate = 1000 },
		  &device) == 0);
	fuzz_device(data, size, device, NULL);
	return 0;
}

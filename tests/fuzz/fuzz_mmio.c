/* The register page, in front of the simplest device. */
#include "device_fuzz.h"
#include "devices/virtio_rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device *device;

	CHECK(virtio_rng_create(&device) == 0);
	fuzz_device(data, size, device, NULL);
	return 0;
}

/* A disk of 64 KiB. The target's own operation makes the disk shorter behind the device's back. */
#include "device_fuzz.h"
#include "devices/virtio_blk.h"
#include <sys/mman.h>

enum { DISK_SIZE = 64 * 1024 };

static int disk;

static void shorten(struct fuzz *fuzz, uint8_t operand)
{
	(void)fuzz;
	CHECK(ftruncate(disk, operand * 512L) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_blk_config config = { .serial = "fuzz",
					    .read_only = size > 0 && (data[size - 1] & 1) };
	struct virtio_device *device;

	disk = memfd_create("disk", MFD_CLOEXEC);
	CHECK(disk >= 0 && ftruncate(disk, DISK_SIZE) == 0);
	config.fd = disk;
	CHECK(virtio_blk_create(&config, &device) == 0);
	fuzz_device(data, size, device, shorten);
	return 0;
}

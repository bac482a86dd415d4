/* A region of 8 blocks, half of it usable, whose blocks must be the guest's when they go back. The
 * target's own operation asks for an amount of memory. */
#include "device_fuzz.h"
#include "devices/virtio_mem.h"
#include <sys/mman.h>

enum { BLOCKS = 8 };
#define REGION UINT64_C(0x100000000)
#define SIZE   ((uint64_t)BLOCKS * VIRTIO_MEM_BLOCK)

static uint8_t *region;

static void check_range(void *context, const struct iovec *range)
{
	const uint8_t *at = range->iov_base;

	(void)context;
	CHECK(at >= region && range->iov_len <= SIZE && at + range->iov_len <= region + SIZE);
}

static void ask(struct fuzz *fuzz, uint8_t operand)
{
	if (fuzz->mem.region_count == 1)
		CHECK(gmem_add(&fuzz->mem, (gpa_t){ REGION }, region, SIZE / 2) == 0);
	virtio_mem_request(fuzz->device, SIZE / 2,
			   operand % (BLOCKS / 2 + 1) * (uint64_t)VIRTIO_MEM_BLOCK);
	CHECK(virtio_mem_plugged(fuzz->device) <= SIZE / 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device *device;

	if (!region)
		region = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(region != MAP_FAILED);
	CHECK(madvise(region, SIZE, MADV_DONTNEED) == 0); /* the guest may have written to it */
	CHECK(virtio_mem_create(&(struct virtio_mem_setup){ .start = { REGION },
							    .size = SIZE,
							    .release = check_range },
				&device) == 0);
	fuzz_device(data, size, device, ask);
	return 0;
}

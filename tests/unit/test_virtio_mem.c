#include "base/own.h"
#include "devices/virtio_mem.h"
#include "guest.h"
#include <sys/mman.h>

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };
enum { PLUGGED, UNPLUGGED, MIXED };
enum { CONFIG = 0x100, BLOCKS = 16 };

#define REGION UINT64_C(0x100000000)
#define BLOCK  ((uint64_t)VIRTIO_MEM_BLOCK)

struct request {
	uint16_t type, padding[3];
	uint64_t address;
	uint16_t block_count, padding2[3];
};

static struct guest guest;
static struct virtio_device *device;
static uint8_t *region;
static uint64_t released; /* bytes */

static void note(void *context, const struct iovec *range)
{
	cr_assert_eq(context, &guest);
	cr_assert((uint8_t *)range->iov_base >= region &&
		  (uint8_t *)range->iov_base + range->iov_len <= region + BLOCKS * BLOCK);
	released += range->iov_len;
}

static void open_mem(void)
{
	region = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	cr_assert_neq(region, MAP_FAILED);
	cr_assert_eq(virtio_mem_create(&(struct virtio_mem_setup){ .start = { REGION },
								   .size = 2 * BLOCKS * BLOCK,
								   .release = note,
								   .context = &guest },
				       &device),
		     0);
	guest_open(&guest, device);
	cr_assert_eq(gmem_add(&guest.mem, (gpa_t){ REGION }, region, BLOCKS * BLOCK), 0);
	cr_assert_eq(guest_start(&guest, 0), 15);
	released = 0;
}

static void close_mem(void)
{
	guest_close(&guest);
	(void)munmap(region, BLOCKS * BLOCK);
}

TestSuite(virtio_mem, .init = open_mem, .fini = close_mem);

static uint64_t config(size_t offset)
{
	uint32_t low, high;

	virtio_mmio_read(guest.mmio, CONFIG + offset, &low, sizeof low);
	virtio_mmio_read(guest.mmio, CONFIG + offset + 4, &high, sizeof high);
	return (uint64_t)high << 32 | low;
}

static uint16_t answer[5];

static uint16_t ask(uint16_t type, uint64_t address, uint16_t count)
{
	struct request request = { .type = type, .address = address, .block_count = count };

	memcpy(guest_ram + GUEST_DATA, &request, sizeof request);
	memset(guest_ram + GUEST_DATA + 0x100, 0xff, sizeof answer);
	guest_set_desc(0, 0, GUEST_DATA, sizeof request, VRING_DESC_F_NEXT, 1);
	guest_set_desc(0, 1, GUEST_DATA + 0x100, sizeof answer, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	cr_assert_eq(guest_wait(&guest, 0).len, sizeof answer);
	memcpy(answer, guest_ram + GUEST_DATA + 0x100, sizeof answer);
	return answer[0];
}

Test(virtio_mem, says_what_there_is)
{
	cr_assert_eq(config(0), BLOCK);
	cr_assert_eq(config(16), REGION);
	cr_assert_eq(config(24), 2 * BLOCKS * BLOCK);
	cr_assert_eq(config(32), 0);
	cr_assert_eq(config(48), 0);
	virtio_mem_request(device, BLOCKS * BLOCK, 3 * BLOCK);
	cr_assert_eq(guest_interrupt(&guest), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(config(32), BLOCKS * BLOCK);
	cr_assert_eq(config(48), 3 * BLOCK);
}

Test(virtio_mem, nothing_comes_that_was_not_asked_for)
{
	cr_assert_eq(ask(PLUG, REGION, 1), ERROR); /* nothing is usable */
	virtio_mem_request(device, BLOCKS * BLOCK, 3 * BLOCK);
	cr_assert_eq(ask(PLUG, REGION, 4), NACK);
	cr_assert_eq(ask(PLUG, REGION, 3), ACK);
	cr_assert_eq(ask(PLUG, REGION + 3 * BLOCK, 1), NACK);
	cr_assert_eq(virtio_mem_plugged(device), 3 * BLOCK);
	cr_assert_eq(config(40), 3 * BLOCK);
	virtio_mem_request(device, BLOCKS * BLOCK, BLOCK); /* less than it has */
	cr_assert_eq(ask(PLUG, REGION + 3 * BLOCK, 1), NACK);
}

Test(virtio_mem, what_is_unplugged_goes_back)
{
	virtio_mem_request(device, BLOCKS * BLOCK, BLOCKS * BLOCK);
	cr_assert_eq(ask(PLUG, REGION + 2 * BLOCK, 4), ACK);
	cr_assert_eq(ask(STATE, REGION + 2 * BLOCK, 4), ACK);
	cr_assert_eq(answer[4], PLUGGED);
	cr_assert_eq(ask(STATE, REGION + BLOCK, 4), ACK);
	cr_assert_eq(answer[4], MIXED);
	cr_assert_eq(ask(STATE, REGION, 2), ACK);
	cr_assert_eq(answer[4], UNPLUGGED);
	cr_assert_eq(ask(UNPLUG, REGION + 3 * BLOCK, 2), ACK);
	cr_assert_eq(released, 2 * BLOCK);
	cr_assert_eq(config(40), 2 * BLOCK);
	cr_assert_eq(ask(UNPLUG, REGION + 3 * BLOCK, 1), ERROR); /* twice */
	cr_assert_eq(ask(UNPLUG, REGION + 2 * BLOCK, 2), ERROR); /* in part */
	cr_assert_eq(ask(PLUG, REGION + BLOCK, 2), ERROR);
	cr_assert_eq(released, 2 * BLOCK);
	cr_assert_eq(ask(UNPLUG_ALL, 0, 0), ACK);
	cr_assert_eq(released, (2 + BLOCKS) * BLOCK);
	cr_assert_eq(virtio_mem_plugged(device), 0);
	cr_assert_eq(ask(STATE, REGION, BLOCKS), ACK);
	cr_assert_eq(answer[4], UNPLUGGED);
}

Test(virtio_mem, addresses_are_judged)
{
	const struct {
		uint64_t address;
		uint16_t count;
	} bad[] = { { REGION - BLOCK, 1 },
		    { REGION + 1, 1 },
		    { REGION + BLOCK / 2, 1 },
		    { REGION + BLOCKS * BLOCK, 1 },
		    { REGION + (BLOCKS - 1) * BLOCK, 2 },
		    { REGION, BLOCKS + 1 },
		    { REGION, UINT16_MAX },
		    { REGION, 0 },
		    { 0, 1 },
		    { UINT64_MAX - BLOCK + 1, 1 },
		    { UINT64_MAX - BLOCK + 1, UINT16_MAX } };

	virtio_mem_request(device, BLOCKS * BLOCK, BLOCKS * BLOCK);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (uint16_t type = PLUG; type <= STATE; type++)
			if (type != UNPLUG_ALL)
				cr_assert_eq(ask(type, bad[i].address, bad[i].count), ERROR);
	cr_assert_eq(ask(17, REGION, 1), ERROR);
	cr_assert_eq(virtio_mem_plugged(device), 0);
	cr_assert_eq(released, 0);
}

static void expect_broken(uint32_t request_size, uint32_t answer_size)
{
	guest_start(&guest, 0);
	memset(guest_ram + GUEST_DATA, 0, 64);
	guest_set_desc(0, 0, GUEST_DATA, request_size, VRING_DESC_F_NEXT, 1);
	guest_set_desc(0, 1, GUEST_DATA + 0x100, answer_size, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	guest_turn_until(&guest,
			 guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	cr_assert_eq(guest_used_index(0), 0);
}

Test(virtio_mem, short_requests_break_it)
{
	expect_broken(sizeof(struct request) - 1, sizeof answer);
	expect_broken(0, sizeof answer);
	expect_broken(sizeof(struct request), sizeof answer - 1);
	expect_broken(sizeof(struct request), 0);
}

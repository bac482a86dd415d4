#include "base/own.h"
#include "devices/virtio_balloon.h"
#include "guest.h"

enum { INFLATE, DEFLATE, REPORTING, PAGE = VIRTIO_BALLOON_PAGE, ACTUAL_AT = 4, CONFIG = 0x100 };
enum { DEFLATE_ON_OOM = 1 << 2, FREE_PAGE_REPORTING = 1 << 5, MAX_RELEASED = 64 };

static struct guest guest;
static struct virtio_device *balloon;

/* What the device gave back: offset in guest_ram and size. */
static struct {
	size_t at, size;
} released[MAX_RELEASED];
static size_t released_count;

static void note(void *context, const struct iovec *range)
{
	uint8_t *at = range->iov_base;

	cr_assert_eq(context, &guest);
	cr_assert(at >= guest_ram && range->iov_len <= GUEST_RAM &&
		  at + range->iov_len <= guest_ram + GUEST_RAM);
	if (released_count < MAX_RELEASED) {
		released[released_count].at = (size_t)(at - guest_ram);
		released[released_count].size = range->iov_len;
	}
	released_count++;
}

static void open_balloon(void)
{
	cr_assert_eq(
	    virtio_balloon_create(
		&(struct virtio_balloon_config){ .release = note, .context = &guest }, &balloon),
	    0);
	guest_open(&guest, balloon);
	released_count = 0;
	cr_assert_eq(guest_start(&guest, DEFLATE_ON_OOM | FREE_PAGE_REPORTING), 15);
}

static void close_balloon(void)
{
	guest_close(&guest);
}

TestSuite(balloon, .init = open_balloon, .fini = close_balloon);

/* A request with these page numbers. */
static void give(unsigned queue, uint16_t head, const uint32_t *numbers, size_t count)
{
	size_t at = GUEST_DATA + head * 0x1000U;

	memcpy(guest_ram + at, numbers, count * sizeof *numbers);
	guest_set_desc(queue, head, at, (uint32_t)(count * sizeof *numbers), 0, 0);
	guest_offer(&guest, queue, head);
	guest_kick(&guest, queue);
}

static uint32_t page_at(size_t offset)
{
	return (uint32_t)(guest_at(offset).value / PAGE);
}

static bool is_broken(void)
{
	return guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

Test(balloon, offers_reporting_and_deflation)
{
	guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES) & 0xff,
		     DEFLATE_ON_OOM | FREE_PAGE_REPORTING);
	/* Linux wants 32 entries in the reporting queue */
	guest_write(&guest, VIRTIO_MMIO_QUEUE_SEL, REPORTING);
	cr_assert_geq(guest_read(&guest, VIRTIO_MMIO_QUEUE_NUM_MAX), 32);
}

Test(balloon, pages_in_a_row_go_back_together)
{
	const uint32_t numbers[] = { page_at(0x80000), page_at(0x81000), page_at(0x82000),
				     page_at(0x90000), page_at(0x8f000) };

	give(INFLATE, 0, numbers, 5);
	cr_assert_eq(guest_wait(&guest, INFLATE).id, 0);
	cr_assert_eq(released_count, 3);
	cr_assert_eq(released[0].at, 0x80000);
	cr_assert_eq(released[0].size, 3 * PAGE);
	cr_assert_eq(released[1].at, 0x90000);
	cr_assert_eq(released[2].at, 0x8f000);
	cr_assert_eq(released[2].size, PAGE);
}

Test(balloon, a_reported_block_goes_back)
{
	guest_set_desc(REPORTING, 3, 0x80000, 0x20000, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 4);
	guest_set_desc(REPORTING, 4, 0xc0000, 0x10000, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, REPORTING, 3);
	guest_kick(&guest, REPORTING);
	cr_assert_eq(guest_wait(&guest, REPORTING).len, 0);
	cr_assert_eq(released_count, 2);
	cr_assert_eq(released[0].at, 0x80000);
	cr_assert_eq(released[0].size, 0x20000);
	cr_assert_eq(released[1].at, 0xc0000);
	cr_assert_eq(released[1].size, 0x10000);
}

Test(balloon, deflating_only_gives_the_request_back)
{
	const uint32_t numbers[] = { page_at(0x80000) };

	give(DEFLATE, 0, numbers, 1);
	cr_assert_eq(guest_wait(&guest, DEFLATE).id, 0);
	cr_assert_eq(released_count, 0);
}

Test(balloon, a_page_outside_of_memory_breaks_it)
{
	const uint32_t before = page_at(0) - 1, behind = page_at(GUEST_RAM), far = UINT32_MAX;
	const uint32_t bad[] = { before, behind, far, 0 };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const uint32_t numbers[] = { page_at(0x80000), bad[i] };

		guest_start(&guest, 0);
		released_count = 0;
		give(INFLATE, 0, numbers, 2);
		guest_turn_until(&guest, is_broken());
		cr_assert_eq(guest_used_index(INFLATE), 0);
		cr_assert_leq(released_count, 1); /* never the bad one: note() sees to that */
	}
}

Test(balloon, a_block_outside_of_memory_breaks_it)
{
	guest_set_desc(REPORTING, 0, GUEST_RAM - PAGE, 2 * PAGE, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, REPORTING, 0);
	guest_kick(&guest, REPORTING);
	guest_turn_until(&guest, is_broken());
	cr_assert_eq(released_count, 0);
}

Test(balloon, odd_sizes_come_to_an_end)
{
	/* no numbers, part of one, and descriptors of the wrong direction */
	guest_set_desc(INFLATE, 0, GUEST_DATA, 0, 0, 0);
	guest_set_desc(INFLATE, 1, GUEST_DATA, 3, 0, 0);
	guest_set_desc(INFLATE, 2, GUEST_DATA, PAGE, VRING_DESC_F_WRITE, 0);
	guest_set_desc(REPORTING, 0, GUEST_DATA, PAGE, 0, 0);
	for (uint16_t i = 0; i < 3; i++)
		guest_offer(&guest, INFLATE, i);
	guest_kick(&guest, INFLATE);
	guest_offer(&guest, REPORTING, 0);
	guest_kick(&guest, REPORTING);
	for (uint16_t i = 0; i < 3; i++)
		cr_assert_eq(guest_wait(&guest, INFLATE).id, i);
	cr_assert_eq(guest_wait(&guest, REPORTING).id, 0);
	cr_assert_eq(released_count, 0);
	cr_assert_not(is_broken());
}

/* More pages than are looked at in a turn, and a driver that resets in the middle. */
Test(balloon, a_long_request_takes_turns)
{
	enum { COUNT = 0x8000 };
	uint32_t *numbers = (uint32_t *)(void *)(guest_ram + GUEST_DATA);

	for (size_t i = 0; i < COUNT; i++)
		numbers[i] = page_at(0x80000 + i % 2 * 0x10000);
	guest_set_desc(INFLATE, 0, GUEST_DATA, COUNT * sizeof *numbers, 0, 0);
	guest_offer(&guest, INFLATE, 0);
	guest_kick(&guest, INFLATE);
	cr_assert_eq(io_turn(guest.io, 100), 0);
	cr_assert_gt(released_count, 0);
	cr_assert_lt(released_count, COUNT); /* others have their turn */
	cr_assert_eq(guest_wait(&guest, INFLATE).id, 0);
	cr_assert_eq(released_count, COUNT);

	guest_offer(&guest, INFLATE, 0);
	guest_kick(&guest, INFLATE);
	cr_assert_eq(io_turn(guest.io, 100), 0);
	cr_assert_eq(guest_start(&guest, 0), 15);
	released_count = 0;
	guest_turn(&guest);
	cr_assert_eq(released_count, 0);
}

Test(balloon, the_target_is_told)
{
	uint32_t pages = 0;

	virtio_balloon_set_target(balloon, 1234);
	cr_assert_eq(guest_interrupt(&guest), VIRTIO_MMIO_INT_CONFIG);
	virtio_mmio_read(guest.mmio, CONFIG, &pages, sizeof pages);
	cr_assert_eq(pages, 1234);

	pages = 77; /* the driver's to write is only how many it gave */
	virtio_mmio_write(guest.mmio, CONFIG + ACTUAL_AT, &pages, sizeof pages);
	virtio_mmio_write(guest.mmio, CONFIG, &pages, sizeof pages);
	cr_assert_eq(virtio_balloon_actual(balloon), 77);
	virtio_mmio_read(guest.mmio, CONFIG, &pages, sizeof pages);
	cr_assert_eq(pages, 1234);
}

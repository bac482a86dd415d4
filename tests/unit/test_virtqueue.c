#include "devices/virtqueue.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdalign.h>
#include <string.h>

enum { BASE = 0x10000, SIZE = 8 };

static alignas(4096) uint8_t ram[0x4000];
static struct gmem mem;
static struct virtqueue queue;
static struct vring_desc *desc = (struct vring_desc *)ram;
static uint16_t *avail = (uint16_t *)(ram + 0x1000);
static uint16_t *used = (uint16_t *)(ram + 0x2000);
static const struct virtqueue_layout layout = {
	.descriptors = { BASE }, .avail = { BASE + 0x1000 }, .used = { BASE + 0x2000 }, .size = SIZE
};

static void setup(void)
{
	cr_assert_eq(gmem_add(&mem, (gpa_t){ BASE }, ram, sizeof ram), 0);
	cr_assert_eq(virtqueue_open(&queue, &mem, &layout, false), 0);
}

static void offer(uint16_t head)
{
	avail[2 + avail[1] % SIZE] = head;
	avail[1]++;
}

TestSuite(virtqueue, .init = setup);

Test(virtqueue, empty)
{
	struct chain c;

	cr_assert_eq(virtqueue_pop(&queue, &c), 0);
	cr_assert_not(virtqueue_publish(&queue));
}

Test(virtqueue, layouts_that_make_no_sense)
{
	struct virtqueue_layout bad = layout;
	struct virtqueue q;

	bad.size = 7;
	cr_assert_eq(virtqueue_open(&q, &mem, &bad, false), -EINVAL);
	bad.size = 0;
	cr_assert_eq(virtqueue_open(&q, &mem, &bad, false), -EINVAL);
	bad.size = 2 * QUEUE_MAX_SIZE;
	cr_assert_eq(virtqueue_open(&q, &mem, &bad, false), -EINVAL);
	bad = layout;
	bad.descriptors.value += 8;
	cr_assert_eq(virtqueue_open(&q, &mem, &bad, false), -EINVAL);
	bad = layout;
	bad.used.value = BASE + sizeof ram - 4;
	cr_assert_eq(virtqueue_open(&q, &mem, &bad, false), -EFAULT);
	bad = layout;
	bad.avail.value = UINT64_MAX - 1;
	cr_assert_eq(virtqueue_open(&q, &mem, &bad, false), -EFAULT);
}

Test(virtqueue, reads_then_writes)
{
	struct chain c;
	uint32_t word = 0;

	memcpy(ram + 0x3000, "abcd", 4);
	desc[0] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ BASE + 0x3100, 4, VRING_DESC_F_WRITE, 0 };
	offer(0);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	cr_assert_eq(chain_readable(&c), 4);
	cr_assert_eq(chain_writable(&c), 4);
	cr_assert(chain_get(&c, &word));
	cr_assert(chain_put(&c, &word));
	cr_assert_not(chain_put(&c, &word));
	virtqueue_push(&queue, &c);
	cr_assert_arr_eq(ram + 0x3100, "abcd", 4);
	cr_assert_eq(used[1], 0, "the driver sees nothing before publish");
	cr_assert(virtqueue_publish(&queue));
	cr_assert_eq(used[1], 1);
}

Test(virtqueue, one_publish_for_a_batch)
{
	struct chain c;

	for (uint16_t i = 0; i < 4; i++) {
		desc[i] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_WRITE, 0 };
		offer(i);
	}
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(virtqueue_pop(&queue, &c), 1);
		virtqueue_push(&queue, &c);
	}
	avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
	cr_assert_not(virtqueue_publish(&queue));
	cr_assert_eq(used[1], 4);
}

Test(virtqueue, loop_breaks_the_queue)
{
	struct chain c;

	desc[0] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_NEXT, 0 };
	offer(0);
	cr_assert_eq(virtqueue_pop(&queue, &c), -EPROTO);
	cr_assert_eq(virtqueue_pop(&queue, &c), -EPROTO);
}

Test(virtqueue, head_in_flight_is_refused)
{
	struct chain c;

	desc[0] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_WRITE, 0 };
	offer(0);
	offer(0);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	cr_assert_eq(virtqueue_pop(&queue, &c), -EPROTO);
}

Test(virtqueue, head_may_come_again_after_push)
{
	struct chain c;

	desc[0] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_WRITE, 0 };
	for (int i = 0; i < 70000; i++) { /* past the wrap of all indices */
		offer(0);
		cr_assert_eq(virtqueue_pop(&queue, &c), 1);
		virtqueue_push(&queue, &c);
		cr_assert(virtqueue_publish(&queue));
	}
	cr_assert_eq(used[1], (uint16_t)70000);
}

Test(virtqueue, unpop_gives_it_again)
{
	struct chain c;

	desc[3] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_WRITE, 0 };
	offer(3);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	virtqueue_unpop(&queue, &c);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	cr_assert_eq(c.head, 3);
}

Test(virtqueue, indirect)
{
	struct chain c;
	struct vring_desc table[3] = { { BASE + 0x3100, 4, VRING_DESC_F_NEXT, 2 },
				       { 0 },
				       { BASE + 0x3200, 8, VRING_DESC_F_WRITE, 0 } };

	memcpy(ram + 0x3000, table, sizeof table);
	desc[3] = (struct vring_desc){ BASE + 0x3000, sizeof table, VRING_DESC_F_INDIRECT, 0 };
	offer(3);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	cr_assert_eq(c.readable_count, 1);
	cr_assert_eq(c.writable_count, 1);
}

static void expect_broken(struct vring_desc first)
{
	struct chain c;

	desc[0] = first;
	offer(0);
	cr_assert_eq(virtqueue_pop(&queue, &c), -EPROTO);
	queue.broken = false;
	queue.next_avail = queue.seen_avail = avail[1];
}

Test(virtqueue, bad_descriptors)
{
	struct vring_desc nested = { BASE + 0x3000, 16, VRING_DESC_F_INDIRECT, 0 };

	memcpy(ram + 0x3000, &nested, sizeof nested);
	expect_broken(nested);
	expect_broken((struct vring_desc){ BASE + 0x3000, 15, VRING_DESC_F_INDIRECT, 0 });
	expect_broken((struct vring_desc){ BASE + 0x3000, 0, VRING_DESC_F_INDIRECT, 0 });
	expect_broken((struct vring_desc){ BASE + 0x3ff0, 32, VRING_DESC_F_INDIRECT, 0 });
	expect_broken(
	    (struct vring_desc){ BASE + 0x3000, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1 });
	expect_broken((struct vring_desc){ UINT64_MAX - 1, 4, 0, 0 });
	expect_broken((struct vring_desc){ BASE - 2, 4, 0, 0 });
	expect_broken((struct vring_desc){ BASE + 0x3fff, 2, 0, 0 });
	expect_broken((struct vring_desc){ BASE, UINT32_MAX, 0, 0 });
	expect_broken((struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_NEXT, 8 });
	/* readable after writable */
	desc[1] = (struct vring_desc){ BASE + 0x3000, 4, 0, 0 };
	expect_broken(
	    (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1 });
}

Test(virtqueue, wild_head_and_index)
{
	struct chain c;

	avail[1] = 100;
	cr_assert_eq(virtqueue_pop(&queue, &c), -EPROTO);
	queue.broken = false;
	queue.next_avail = queue.seen_avail = 99;
	avail[2 + 99 % SIZE] = SIZE;
	cr_assert_eq(virtqueue_pop(&queue, &c), -EPROTO);
}

Test(virtqueue, event_index_both_ways)
{
	struct chain c;
	uint16_t *used_event = &avail[2 + SIZE], *avail_event = &used[2 + 4 * SIZE];

	cr_assert_eq(virtqueue_open(&queue, &mem, &layout, true), 0);
	for (uint16_t i = 0; i < 4; i++)
		desc[i] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_WRITE, 0 };
	*used_event = 1; /* only after the second */
	offer(0);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	virtqueue_push(&queue, &c);
	cr_assert_not(virtqueue_publish(&queue));
	offer(1);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	virtqueue_push(&queue, &c);
	cr_assert(virtqueue_publish(&queue));

	cr_assert_eq(*avail_event, 0);
	cr_assert_not(virtqueue_enable_kicks(&queue));
	cr_assert_eq(*avail_event, 2);
	offer(2);
	cr_assert(virtqueue_enable_kicks(&queue), "something came in between");
}

Test(virtqueue, late_kick)
{
	const uint16_t *avail_event = &used[2 + 4 * SIZE];
	struct chain c;

	cr_assert_eq(virtqueue_open(&queue, &mem, &layout, true), 0);
	desc[0] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_WRITE, 0 };
	offer(0);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	cr_assert_not(virtqueue_enable_late_kick(&queue, 3));
	cr_assert_eq(*avail_event, 3, "passed by the third from here");
	cr_assert_not(virtqueue_enable_late_kick(&queue, SIZE + 5));
	cr_assert_eq(*avail_event, SIZE, "there is no room for more");
	offer(1);
	cr_assert(virtqueue_enable_late_kick(&queue, 3), "nobody may kick for that one");
}

Test(virtqueue, kick_flag_without_event_index)
{
	virtqueue_disable_kicks(&queue);
	cr_assert_eq(used[0], VRING_USED_F_NO_NOTIFY);
	cr_assert_not(virtqueue_enable_kicks(&queue));
	cr_assert_eq(used[0], 0);
}

Test(chain, peeks_do_not_advance)
{
	struct chain c;
	struct iovec out[4];
	size_t covered;
	uint8_t byte;

	desc[0] = (struct vring_desc){ BASE + 0x3000, 4, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ BASE + 0x3100, 4, VRING_DESC_F_NEXT, 2 };
	desc[2] = (struct vring_desc){ BASE + 0x3200, 4, 0, 0 };
	setup();
	offer(0);
	cr_assert_eq(virtqueue_pop(&queue, &c), 1);
	cr_assert(chain_get(&c, &byte));
	cr_assert_eq(chain_peek_readable(&c, 5, out, 4, &covered), 2);
	cr_assert_eq(covered, 5);
	cr_assert_eq(out[0].iov_len, 3);
	cr_assert_eq(out[1].iov_len, 2);
	cr_assert_eq(chain_peek_readable(&c, 100, out, 2, &covered), 2);
	cr_assert_eq(covered, 7);
	cr_assert_eq(chain_readable(&c), 11);
	cr_assert_eq(chain_peek_writable(&c, 100, out, 2, &covered), 0);
}

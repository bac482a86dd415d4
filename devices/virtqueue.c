/*
 * Split virtqueues. The guest may write to all three areas at any time, so:
 *  - their addresses were copied and checked when the queue was opened, and never again;
 *  - an index from the guest is loaded once and compared by subtraction;
 *  - a descriptor is copied once and judged in the copy;
 *  - a walk ends after CHAIN_MAX_SEGMENTS + 1 steps, whatever the descriptors say.
 * A rule broken breaks the queue: nothing more is taken from it until reset.
 *
 * Barriers, each with its partner in the driver:
 *  avail index, load acquire   <-> driver's write barrier before it moves the index (2.7.13)
 *  used index, store release   <-> driver's read barrier after it reads the index (2.7.14)
 *  full barrier in publish      <-> driver writes used_event (or flags), barrier, reads used index
 *  full barrier in enable_kicks <-> driver writes avail index, barrier, reads avail_event (or
 * flags)
 */
#include "devices/virtqueue.h"
#include "base/check.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4 }; /* byte offsets, both rings */

/* Little-endian hosts only, as is every architecture katavm knows. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian");

static size_t avail_entry(uint16_t slot)
{
	return RING_ENTRIES + slot * sizeof(uint16_t);
}

static size_t used_entry(uint16_t slot)
{
	return RING_ENTRIES + slot * sizeof(struct vring_used_elem);
}

/* The event words lie behind the last entry: used_event in the available ring, avail_event in the
 * used ring. */
static size_t used_event(const struct virtqueue *queue)
{
	return avail_entry(queue->size);
}

static size_t avail_event(const struct virtqueue *queue)
{
	return used_entry(queue->size);
}

int virtqueue_open(struct virtqueue *queue, const struct gmem *mem,
		   const struct virtqueue_layout *layout, bool event_index)
{
	uint16_t size = layout->size;
	struct virtqueue opened = { .mem = mem, .size = size, .event_index = event_index };
	int r;

	if (size == 0 || size > QUEUE_MAX_SIZE || (size & (size - 1)))
		return -EINVAL;
	if (layout->descriptors.value % 16 || layout->avail.value % 2 || layout->used.value % 4)
		return -EINVAL;

	r = gmem_window_open(mem, layout->descriptors, size * sizeof(struct vring_desc),
			     &opened.descriptors);
	if (r < 0)
		return r;
	r = gmem_window_open(mem, layout->avail, avail_entry(size) + sizeof(uint16_t),
			     &opened.avail);
	if (r < 0)
		return r;
	r = gmem_window_open(mem, layout->used, used_entry(size) + sizeof(uint16_t), &opened.used);
	if (r < 0)
		return r;

	*queue = opened;
	return 0;
}

static int break_queue(struct virtqueue *queue)
{
	queue->broken = true;
	return -EPROTO;
}

static uint64_t *flight_word(struct virtqueue *queue, uint16_t head)
{
	return &queue->in_flight[head / 64];
}

static uint64_t flight_bit(uint16_t head)
{
	return UINT64_C(1) << (head % 64);
}

static int add_segment(struct virtqueue *queue, const struct vring_desc *desc, struct chain *chain)
{
	unsigned count = chain->readable_count + chain->writable_count;
	bool writable = desc->flags & VRING_DESC_F_WRITE;
	int r;

	if (count == CHAIN_MAX_SEGMENTS || (!writable && chain->writable_count > 0))
		return -EPROTO;
	if (desc->len == 0)
		return 0;
	r = gmem_iovec(queue->mem, (gpa_t){ desc->addr }, desc->len, &chain->segments[count]);
	if (r < 0)
		return r;
	if (writable)
		chain->writable_count++;
	else
		chain->readable_count++;
	return 0;
}

/* An indirect table takes the place of the rest of the chain (2.7.5.3); there is one level. */
static int enter_table(const struct virtqueue *queue, const struct vring_desc *desc,
		       struct gmem_window *table)
{
	if ((desc->flags & VRING_DESC_F_NEXT) || desc->len == 0 ||
	    desc->len % sizeof(struct vring_desc))
		return -EPROTO;
	return gmem_window_open(queue->mem, (gpa_t){ desc->addr }, desc->len, table);
}

static int collect(struct virtqueue *queue, uint16_t head, struct chain *chain)
{
	struct gmem_window table = queue->descriptors;
	bool indirect = false;
	uint16_t next = head;

	for (unsigned step = 0; step < CHAIN_MAX_SEGMENTS + 1; step++) {
		struct vring_desc desc;

		if (gmem_window_read(&table, next * sizeof desc, &desc, sizeof desc) < 0)
			return -EPROTO;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			if (indirect || enter_table(queue, &desc, &table) < 0)
				return -EPROTO;
			indirect = true;
			next = 0;
			continue;
		}
		if (add_segment(queue, &desc, chain) < 0)
			return -EPROTO;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		next = desc.next;
	}
	return -EPROTO;
}

int virtqueue_pop(struct virtqueue *queue, struct chain *chain)
{
	uint16_t slot = queue->next_avail & (queue->size - 1);

	if (queue->broken)
		return -EPROTO;
	if (queue->seen_avail == queue->next_avail) {
		queue->seen_avail = gmem_load_acquire16(&queue->avail, RING_INDEX);
		if (queue->seen_avail == queue->next_avail)
			return 0;
		if ((uint16_t)(queue->seen_avail - queue->next_avail) > queue->size)
			return break_queue(queue);
	}

	chain->head = gmem_load_acquire16(&queue->avail, avail_entry(slot));
	chain->readable_count = chain->writable_count = 0;
	chain->read_position = chain->write_position = 0;
	if (chain->head >= queue->size ||
	    (*flight_word(queue, chain->head) & flight_bit(chain->head)) ||
	    collect(queue, chain->head, chain) < 0)
		return break_queue(queue);

	*flight_word(queue, chain->head) |= flight_bit(chain->head);
	queue->next_avail++;
	return 1;
}

void virtqueue_unpop(struct virtqueue *queue, const struct chain *chain)
{
	*flight_word(queue, chain->head) &= ~flight_bit(chain->head);
	queue->next_avail--;
}

void virtqueue_push_head(struct virtqueue *queue, uint16_t head, uint32_t written)
{
	uint16_t slot = queue->next_used & (queue->size - 1);
	struct vring_used_elem used = { .id = head, .len = written };

	CHECK(head < queue->size && (*flight_word(queue, head) & flight_bit(head)));
	*flight_word(queue, head) &= ~flight_bit(head);
	(void)gmem_window_write(&queue->used, used_entry(slot), &used, sizeof used);
	queue->next_used++;
}

void virtqueue_push(struct virtqueue *queue, const struct chain *chain)
{
	virtqueue_push_head(queue, chain->head, (uint32_t)chain->write_position);
}

bool virtqueue_publish(struct virtqueue *queue)
{
	uint16_t before = queue->shown_used, now = queue->next_used, event;

	if (now == before)
		return false;
	gmem_store_release16(&queue->used, RING_INDEX, now);
	queue->shown_used = now;
	gmem_full_barrier();
	if (!queue->event_index)
		return !(gmem_load_acquire16(&queue->avail, RING_FLAGS) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	/* Did the index pass the entry the driver waits for? (2.7.10) */
	event = gmem_load_acquire16(&queue->avail, used_event(queue));
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

void virtqueue_disable_kicks(struct virtqueue *queue)
{
	/* With event index a driver kicks once when it passes avail_event, and not again until
	 * that word moves: there is nothing to switch off. */
	if (!queue->event_index)
		gmem_store_release16(&queue->used, RING_FLAGS, VRING_USED_F_NO_NOTIFY);
}

bool virtqueue_enable_kicks(struct virtqueue *queue)
{
	if (queue->broken)
		return false;
	if (queue->event_index)
		gmem_store_release16(&queue->used, avail_event(queue), queue->next_avail);
	else
		gmem_store_release16(&queue->used, RING_FLAGS, 0);
	gmem_full_barrier();
	return gmem_load_acquire16(&queue->avail, RING_INDEX) != queue->next_avail;
}

bool virtqueue_enable_late_kick(struct virtqueue *queue, uint16_t count)
{
	CHECK(queue->event_index && count > 0);
	if (queue->broken)
		return false;
	if (count > queue->size)
		count = queue->size;
	/* the driver kicks when its index passes this word (2.7.10) */
	gmem_store_release16(&queue->used, avail_event(queue),
			     (uint16_t)(queue->next_avail + count - 1));
	gmem_full_barrier();
	return gmem_load_acquire16(&queue->avail, RING_INDEX) != queue->next_avail;
}

void virtqueue_look(const struct virtqueue *queue, struct virtqueue_view *out)
{
	*out = (struct virtqueue_view){ .size = queue->size,
					.next_avail = queue->next_avail,
					.next_used = queue->next_used,
					.broken = queue->broken,
					.event_index = queue->event_index };
	if (queue->size == 0)
		return;
	out->ring_avail = gmem_load_acquire16(&queue->avail, RING_INDEX);
	out->ring_flags = gmem_load_acquire16(&queue->avail, RING_FLAGS);
	out->used_event = gmem_load_acquire16(&queue->avail, used_event(queue));
	out->ring_used = gmem_load_acquire16(&queue->used, RING_INDEX);
	out->avail_event = gmem_load_acquire16(&queue->used, avail_event(queue));
	for (size_t i = 0; i < sizeof queue->in_flight / sizeof queue->in_flight[0]; i++)
		out->in_flight += (uint16_t)__builtin_popcountll(queue->in_flight[i]);
}

#pragma once
#include "base/gmem.h"

/* Split virtqueues, virtio 1.3 section 2.7, seen from the device. Runs on the device thread. */
enum {
	QUEUE_MAX_SIZE = 512,
	CHAIN_MAX_SEGMENTS = 128, /* also what a device may announce as seg_max, less its own two */
};

/* One request. The descriptors were copied out of the guest when it was popped,
 * so nothing the guest does afterwards can change what we see here. */
struct chain {
	uint16_t head;
	unsigned readable_count, writable_count;
	size_t read_position, write_position;
	struct iovec segments[CHAIN_MAX_SEGMENTS]; /* readable first, then writable */
};

/* What a driver configured; a plain value, so that a snapshot can keep it. */
struct virtqueue_layout {
	gpa_t descriptors, avail, used;
	uint16_t size;
	bool ready;
};

struct virtqueue {
	const struct gmem *mem;
	struct gmem_window descriptors, avail, used;
	uint16_t size;
	uint16_t next_avail; /* the next entry of the available ring to take */
	uint16_t seen_avail; /* the driver's available index when last looked at */
	uint16_t next_used;  /* the next entry of the used ring to fill */
	uint16_t shown_used; /* the used index the driver can see */
	bool event_index;    /* VIRTIO_F_EVENT_IDX was accepted */
	bool broken;         /* the guest broke the rules; until reset */
	uint64_t in_flight[QUEUE_MAX_SIZE / 64]; /* heads taken and not yet given back */
};

/* -EINVAL, -EFAULT: the guest's layout makes no sense; *queue is untouched. */
int virtqueue_open(struct virtqueue *queue, const struct gmem *mem,
		   const struct virtqueue_layout *layout, bool event_index);

/* 1: a chain was popped. 0: none waiting. -EPROTO: the guest broke the rules,
 * the queue stays broken until reset. */
int virtqueue_pop(struct virtqueue *queue, struct chain *chain);
/* Takes the newest pop back: the chain was not used and will be popped again. */
void virtqueue_unpop(struct virtqueue *queue, const struct chain *chain);

/* Give a chain back, with chain->write_position bytes written. The driver sees nothing until
 * virtqueue_publish, so that a batch is one update. */
void virtqueue_push(struct virtqueue *queue, const struct chain *chain);
void virtqueue_push_head(struct virtqueue *queue, uint16_t head, uint32_t written);
/* True if the driver wants an interrupt for what was pushed. */
bool virtqueue_publish(struct virtqueue *queue);

/* Kick suppression. Ask for silence while popping; before going idle ask for kicks again, and pop
 * on if that returns true (something came in between). */
void virtqueue_disable_kicks(struct virtqueue *queue);
bool virtqueue_enable_kicks(struct virtqueue *queue);

/* Instead of virtqueue_enable_kicks: a kick is wanted for the last of the next `count` chains
 * (1 or more), not before; where the queue has room for less, for the last of those. Needs the
 * event index. True: something waits already, pop on. */
bool virtqueue_enable_late_kick(struct virtqueue *queue, uint16_t count);

/* The indices of a queue, ours and those in the guest's memory: what tells a lost kick (ring_avail
 * is ahead of next_avail, and nobody works on it) from a lost interrupt (ring_used is ahead of
 * used_event, and the driver sleeps) from requests that do not come back (in_flight). */
struct virtqueue_view {
	uint16_t size;                                /* 0: not open */
	uint16_t ring_avail, next_avail, avail_event; /* avail_event: what we wrote last */
	uint16_t ring_used, next_used, used_event;    /* used_event: what the driver wrote last */
	uint16_t ring_flags;                          /* of the available ring */
	uint16_t in_flight;
	bool broken, event_index;
};
void virtqueue_look(const struct virtqueue *queue, struct virtqueue_view *out);

/* Copy and advance; a short count means the chain has ended. */
size_t chain_read(struct chain *chain, void *to, size_t size);
size_t chain_write(struct chain *chain, const void *from, size_t size);
#define chain_get(chain, object)                                                                   \
	(chain_read((chain), (object), sizeof *(object)) == sizeof *(object))
#define chain_put(chain, object)                                                                   \
	(chain_write((chain), (object), sizeof *(object)) == sizeof *(object))

/* Bytes left to read and room left to write. */
size_t chain_readable(const struct chain *chain);
size_t chain_writable(const struct chain *chain);

/* The next `size` bytes (or less, if the chain ends) as segments for readv(2) or writev(2), without
 * advancing; returns how many of out[0..max) were filled, *covered how many bytes they are. */
unsigned chain_peek_readable(const struct chain *chain, size_t size, struct iovec *out,
			     unsigned max, size_t *covered);
unsigned chain_peek_writable(const struct chain *chain, size_t size, struct iovec *out,
			     unsigned max, size_t *covered);

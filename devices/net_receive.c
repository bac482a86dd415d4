/*
 * Packets to the guest, read from the tap straight into its buffers. Buffers are taken from the
 * queue ahead and kept in a window; one read offers the whole window and, behind it, a buffer of
 * our own, the spill. A packet uses as many of the guest's buffers as it needs, the rest of the
 * window stays for the next one. How much is worth offering is what came lately: a packet that is
 * larger ends in the spill and is copied into further buffers, so none is ever cut off.
 *
 * One read waits in the loop. When it is done others follow at once until the tap is empty, up to a
 * share; the driver sees all of them together, with one interrupt at the most.
 *
 * Without VIRTIO_NET_F_MRG_RXBUF the window is one buffer, and what does not fit is dropped.
 */
#include "base/container_of.h"
#include "base/own.h"
#include "devices/net_private.h"

#include <string.h>

static void read_done(struct io_op *op, int result);

static void after(struct io_deferred *deferred)
{
	struct net_receive *receive = container_of(deferred, struct net_receive, after);

	virtio_complete(&receive->net->device, receive->queue);
}

int net_receive_init(struct net_receive *receive, struct net *net, unsigned pair)
{
	receive->net = net;
	receive->fd = net->setup.fds[pair];
	receive->kind = hostfd_kind(receive->fd);
	receive->queue = 2 * pair;
	receive->after.run = after;
	receive->wanted = NET_MAX_PACKET;
	receive->spill = malloc(NET_MAX_PACKET);
	return receive->spill ? 0 : -ENOMEM;
}

void net_receive_finish(struct net_receive *receive)
{
	free(receive->spill);
}

/* ---- the window ---- */

/* Room for one more chain at the end; false: there are segments enough. */
static bool has_room(struct net_receive *receive)
{
	if (receive->segment_count + CHAIN_MAX_SEGMENTS > RECEIVE_SEGMENTS)
		return false;
	if (receive->segment_first + receive->segment_count + CHAIN_MAX_SEGMENTS >
		RECEIVE_SEGMENTS ||
	    receive->buffer_first + receive->buffer_count == NET_QUEUE_SIZE) {
		memmove(receive->segments, receive->segments + receive->segment_first,
			receive->segment_count * sizeof receive->segments[0]);
		memmove(receive->buffers, receive->buffers + receive->buffer_first,
			receive->buffer_count * sizeof receive->buffers[0]);
		receive->segment_first = receive->buffer_first = 0;
	}
	return true;
}

/* One chain of the guest's joins the window, and is net->chain. False: there is none, or it broke
 * the rules. */
static bool take_buffer(struct net_receive *receive)
{
	struct net *net = receive->net;
	struct chain *chain = &net->chain;
	size_t size;

	if (!virtio_pop(&net->device, receive->queue, chain))
		return false;
	size = chain_writable(chain);
	if (chain->readable_count > 0 || size < NET_HEADER || size > UINT32_MAX) {
		virtio_break(&net->device, "a receive buffer that cannot be one");
		return false;
	}
	memcpy(receive->segments + receive->segment_first + receive->segment_count, chain->segments,
	       chain->writable_count * sizeof chain->segments[0]);
	receive->buffers[receive->buffer_first + receive->buffer_count] =
	    (struct receive_buffer){ .head = chain->head,
				     .segment_count = (uint16_t)chain->writable_count,
				     .size = (uint32_t)size };
	receive->segment_count += chain->writable_count;
	receive->buffer_count++;
	receive->capacity += size;
	return true;
}

/* False: the guest has not given a single buffer. */
static bool fill(struct net_receive *receive)
{
	while ((receive->buffer_count == 0 ||
		(receive->net->is_mergeable && receive->capacity < receive->wanted)) &&
	       has_room(receive))
		if (!take_buffer(receive))
			break;
	return receive->buffer_count > 0 && !receive->net->device.queues[receive->queue].broken;
}

/* How many buffers a packet takes is known to the driver only by its header (5.1.6.4). */
static void write_buffer_count(const struct net_receive *receive, uint16_t count)
{
	const struct iovec *segment = receive->segments + receive->segment_first;
	size_t at = offsetof(struct virtio_net_hdr_v1, num_buffers);
	uint8_t bytes[sizeof count];

	memcpy(bytes, &count, sizeof bytes);
	for (unsigned i = 0; i < sizeof bytes; at++) {
		if (at < segment->iov_len) {
			((volatile uint8_t *)segment->iov_base)[at] = bytes[i++];
		} else { /* the buffer holds a header, so there is another segment */
			at -= segment->iov_len + 1;
			segment++;
		}
	}
}

static unsigned buffers_for(const struct net_receive *receive, size_t size)
{
	unsigned count = 0;

	for (size_t held = 0; held < size; count++)
		held += receive->buffers[receive->buffer_first + count].size;
	return count;
}

/* The packet, which is in the first buffers of the window, is the guest's. */
static void give(struct net_receive *receive)
{
	struct virtqueue *queue = &receive->net->device.queues[receive->queue];
	unsigned count = buffers_for(receive, receive->packet);
	size_t left = receive->packet;

	write_buffer_count(receive, (uint16_t)count);
	receive->net->device.stats[receive->queue].to_guest += left - NET_HEADER;
	for (unsigned i = 0; i < count; i++) {
		const struct receive_buffer *buffer = &receive->buffers[receive->buffer_first + i];
		uint32_t used = left < buffer->size ? (uint32_t)left : buffer->size;

		virtqueue_push_head(queue, buffer->head, used);
		left -= used;
		receive->capacity -= buffer->size;
		receive->segment_first += buffer->segment_count;
		receive->segment_count -= buffer->segment_count;
	}
	receive->buffer_first += count;
	receive->buffer_count -= count;
	receive->packet = 0;
	io_defer(receive->net->device.io, &receive->after);
}

/* False: the packet waits for its time, or the rest of it for buffers. */
static bool deliver(struct net_receive *receive)
{
	if (!receive->is_paid &&
	    !net_limit_take(&receive->net->receive_limit, receive->packet - NET_HEADER))
		return false;
	receive->is_paid = true;
	while (receive->capacity < receive->packet) {
		size_t before = receive->capacity;

		if ((receive->buffer_count > 0 && !receive->net->is_mergeable) ||
		    !has_room(receive)) {
			receive->packet = 0; /* it fits into nothing that this driver gives */
			return true;
		}
		if (!take_buffer(receive))
			return false;
		(void)chain_write(&receive->net->chain,
				  receive->rest + (before - receive->spilled_at),
				  receive->packet - before);
	}
	give(receive);
	return true;
}

/* The beginning of a packet goes to a buffer that is in the window already: one that was too small
 * for another packet. */
bool net_receive_copy(struct net_receive *receive, const uint8_t *bytes, size_t size)
{
	const struct iovec *segment = receive->segments + receive->segment_first;
	size_t left = size < receive->capacity ? size : receive->capacity;

	for (receive->spilled_at = 0; left > 0; segment++) {
		size_t step = left < segment->iov_len ? left : segment->iov_len;

		memcpy(segment->iov_base, bytes + receive->spilled_at, step);
		receive->spilled_at += step;
		left -= step;
	}
	receive->rest = bytes + receive->spilled_at;
	receive->packet = size;
	receive->is_paid = false;
	return deliver(receive);
}

/* ---- reading ---- */

static unsigned offer(struct net_receive *receive, struct iovec **segments)
{
	*segments = receive->segments + receive->segment_first;
	(*segments)[receive->segment_count] =
	    (struct iovec){ .iov_base = receive->spill, .iov_len = NET_MAX_PACKET };
	receive->spilled_at = receive->capacity;
	receive->rest = receive->spill;
	return receive->segment_count + 1;
}

/* A large packet counts at once, small ones by and by. */
static void take_packet(struct net_receive *receive, size_t size)
{
	size_t slowly = receive->wanted - receive->wanted / 8;

	receive->wanted = size > slowly ? size : slowly;
	receive->packet = size > NET_HEADER ? size : 0;
	receive->is_paid = false;
}

static void read_on(struct net_receive *receive)
{
	struct net *net = receive->net;
	struct iovec *segments;

	for (unsigned i = 0; receive->packet == 0 || deliver(receive); i++) {
		unsigned count;
		long n = -EAGAIN;

		if (net->is_lost || !fill(receive))
			return;
		count = offer(receive, &segments);
		if (i < RECEIVE_BURST)
			n = hostfd_try_readv(receive->fd, &receive->kind, segments, count);
		if (n == -EAGAIN) {
			io_readv(net->device.io, &receive->op, receive->fd, segments, count,
				 read_done);
			return;
		}
		if (n <= 0) {
			net_lost(net, (int)n);
			return;
		}
		take_packet(receive, (size_t)n);
	}
}

static void read_done(struct io_op *op, int result)
{
	struct net_receive *receive = container_of(op, struct net_receive, op);

	if (result <= 0) {
		net_lost(receive->net, result);
		return;
	}
	if (receive->net->device.queues[receive->queue].broken)
		return;
	take_packet(receive, (size_t)result);
	read_on(receive);
}

void net_receive_start(struct net_receive *receive)
{
	const struct net *net = receive->net;

	if (net->setup.is_vhost || io_is_busy(&receive->op) || !net->is_up ||
	    receive->queue / 2 >= net->active_pairs || net->device.queues[receive->queue].size == 0)
		return;
	if (!net->setup.is_stream)
		read_on(receive);
	else if (receive->packet == 0 || deliver(receive))
		net_stream_read(receive->net);
}

void net_receive_stop(struct net_receive *receive)
{
	if (receive->net->setup.is_stream)
		net_stream_stop_reading(receive->net);
	else
		(void)io_cancel_wait(&receive->op);
}

void net_receive_quiesce(struct net_receive *receive)
{
	net_receive_stop(receive);
	io_defer_cancel(receive->net->device.io, &receive->after);
	receive->buffer_first = receive->buffer_count = 0;
	receive->segment_first = receive->segment_count = 0;
	receive->capacity = receive->packet = 0;
}

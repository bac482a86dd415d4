/*
 * Frames on a stream socket, as passt has them: each behind its length, without packet headers, so
 * nothing is left unfinished for the other side.
 *
 * Out: frames wait in order, and one write takes as many of them as there are, straight from the
 * guest's memory. A reset can come when half a frame is written; the other half is sent as zeroes,
 * so that lengths stay where they are looked for.
 *
 * In: a buffer is filled with what comes. A frame is copied to the guest with a header in front of
 * it that is written over the length and what was before it, which has been given already.
 */
#include "base/container_of.h"
#include "base/own.h"
#include "devices/net_private.h"

#include <arpa/inet.h>
#include <string.h>

enum { HEADROOM = NET_HEADER - STREAM_LENGTH };
static const uint8_t zeroes[4096];

static void start_output(struct io_deferred *deferred);

int net_stream_init(struct net *net)
{
	net->stream.net = net;
	net->stream.start_output.run = start_output;
	net->stream.start = net->stream.end = HEADROOM;
	net->stream.buffer = malloc(STREAM_SIZE);
	return net->stream.buffer ? 0 : -ENOMEM;
}

void net_stream_finish(struct net *net)
{
	free(net->stream.buffer);
}

/* ---- out ---- */

static struct send_slot *slot_at(const struct net_stream *stream, unsigned i)
{
	return stream->waiting[(stream->slot_first + i) % SEND_SLOTS];
}

static unsigned add_zeroes(struct net_stream *stream)
{
	size_t left = stream->owed;
	unsigned count = 0;

	for (; left > 0 && count < STREAM_SEGMENTS; count++) {
		size_t step = left < sizeof zeroes ? left : sizeof zeroes;

		stream->segments[count] =
		    (struct iovec){ .iov_base = (void *)(uintptr_t)zeroes, .iov_len = step };
		left -= step;
	}
	return count;
}

static void written(struct io_op *op, int result);

static void write_on(struct net_stream *stream)
{
	const struct net *net = stream->net;
	unsigned count = add_zeroes(stream);

	for (unsigned i = 0; i < stream->slot_count; i++) {
		const struct send_slot *slot = slot_at(stream, i);

		if (count + slot->count > STREAM_SEGMENTS)
			break;
		memcpy(stream->segments + count, slot->segments + slot->first,
		       slot->count * sizeof slot->segments[0]);
		count += slot->count;
	}
	if (count > 0)
		io_writev(net->device.io, &stream->output, net->setup.fds[0], stream->segments,
			  count, written);
}

static void drop_first(struct net_stream *stream)
{
	struct send_slot *slot = slot_at(stream, 0);

	stream->slot_first = (stream->slot_first + 1) % SEND_SLOTS;
	stream->slot_count--;
	net_send_done(slot);
}

/* `size` bytes of what waits are written. */
static void advance(struct net_stream *stream, size_t size)
{
	size_t zero = size < stream->owed ? size : stream->owed;

	stream->owed -= zero;
	size -= zero;
	while (stream->slot_count > 0 && size > 0) {
		struct send_slot *slot = slot_at(stream, 0);
		struct iovec *segment = &slot->segments[slot->first];
		size_t step = size < segment->iov_len ? size : segment->iov_len;

		segment->iov_base = (uint8_t *)segment->iov_base + step;
		segment->iov_len -= step;
		slot->written = true;
		size -= step;
		if (segment->iov_len > 0)
			continue;
		slot->first++;
		if (--slot->count == 0)
			drop_first(stream);
	}
}

static void written(struct io_op *op, int result)
{
	struct net_stream *stream = container_of(op, struct net_stream, output);

	if (result > 0)
		advance(stream, (size_t)result);
	if (result < 0)
		net_lost(stream->net, result);
	while (stream->net->is_lost && stream->slot_count > 0)
		drop_first(stream);
	if (!stream->net->is_lost)
		write_on(stream);
}

/* At the end of a turn, when all that the guest had is there. */
static void start_output(struct io_deferred *deferred)
{
	struct net_stream *stream = container_of(deferred, struct net_stream, start_output);

	if (!io_is_busy(&stream->output) && !stream->net->is_lost)
		write_on(stream);
}

void net_stream_send(struct net *net, struct send_slot *slot, size_t size)
{
	struct net_stream *stream = &net->stream;
	uint32_t length = htonl((uint32_t)size);

	memcpy(slot->length, &length, sizeof slot->length);
	slot->segments[0] = (struct iovec){ .iov_base = slot->length, .iov_len = STREAM_LENGTH };
	slot->written = false;
	stream->waiting[(stream->slot_first + stream->slot_count++) % SEND_SLOTS] = slot;
	if (!io_is_busy(&stream->output))
		io_defer(net->device.io, &stream->start_output);
}

/* ---- in ---- */

static void came(struct io_op *op, int result)
{
	struct net_stream *stream = container_of(op, struct net_stream, input);

	if (result <= 0) {
		net_lost(stream->net, result);
		return;
	}
	stream->end += (size_t)result;
	net_stream_read(stream->net);
}

/* The frame's length, or 0 when it has not come whole; -EPROTO: it cannot be one. */
static long whole_frame(const struct net_stream *stream)
{
	size_t have = stream->end - stream->start;
	uint32_t length;

	if (have < sizeof length)
		return 0;
	memcpy(&length, stream->buffer + stream->start, sizeof length);
	length = ntohl(length);
	if (length == 0 || length > NET_MAX_PACKET - NET_HEADER)
		return -EPROTO;
	return have - sizeof length >= length ? (long)length : 0;
}

static void make_room(struct net_stream *stream)
{
	if (stream->start == stream->end) {
		stream->start = stream->end = HEADROOM;
	} else if (stream->start > HEADROOM && STREAM_SIZE - stream->end < NET_MAX_PACKET) {
		memmove(stream->buffer + HEADROOM, stream->buffer + stream->start,
			stream->end - stream->start);
		stream->end -= stream->start - HEADROOM;
		stream->start = HEADROOM;
	}
}

void net_stream_read(struct net *net)
{
	struct net_stream *stream = &net->stream;
	long length;

	if (io_is_busy(&stream->input) || net->is_lost || !net->device.active)
		return;
	while ((length = whole_frame(stream)) > 0) {
		uint8_t *packet = stream->buffer + stream->start - HEADROOM;

		memset(packet, 0, NET_HEADER);
		stream->start += STREAM_LENGTH + (size_t)length;
		if (!net_receive_copy(&net->receives[0], packet, NET_HEADER + (size_t)length))
			return;
	}
	if (length < 0) {
		net_lost(net, (int)length);
		return;
	}
	make_room(stream);
	io_read(net->device.io, &stream->input, net->setup.fds[0], stream->buffer + stream->end,
		STREAM_SIZE - stream->end, came);
}

/* ---- life ---- */

void net_stream_stop_reading(struct net *net)
{
	int n = io_cancel_wait(&net->stream.input);

	if (n > 0)
		net->stream.end += (size_t)n;
}

void net_stream_quiesce(struct net *net)
{
	struct net_stream *stream = &net->stream;
	int n = io_cancel_wait(&stream->output);

	io_defer_cancel(net->device.io, &stream->start_output);
	if (n > 0)
		advance(stream, (size_t)n);
	if (stream->slot_count > 0 && slot_at(stream, 0)->written) {
		const struct send_slot *slot = slot_at(stream, 0);

		for (unsigned i = 0; i < slot->count; i++)
			stream->owed += slot->segments[slot->first + i].iov_len;
	}
	stream->slot_first = stream->slot_count = 0;
}

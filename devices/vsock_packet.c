/*
 * Packets to the guest. Everything that wants to be sent is remembered as a bit or a list entry, so
 * it needs no memory while it waits: refusals in a small ring (the tx queue stands still when that
 * is full), control packets as bits of their stream, data as a descriptor that is ready to be read.
 * The pump runs once at the end of a turn and sends what the guest's buffers allow: refusals, then
 * control packets, then data, stream after stream.
 *
 * Data is read straight into the guest's buffers: several chains are popped, their payload areas
 * become one readv, and those not needed are put back. Only a read that did not fill them ends with
 * poll: the guest's next buffers are filled as soon as it offers them.
 */
#include "base/container_of.h"
#include "devices/vsock_private.h"

#include <errno.h>

enum { READS_PER_TURN = 32 };

void vsock_want_pump(struct vsock *vsock)
{
	if (vsock->device.active)
		io_defer(vsock->device.io, &vsock->pump);
}

bool vsock_refuse(struct vsock *vsock, const struct vsock_header *header)
{
	unsigned end = (vsock->refusal_start + vsock->refusal_count) % MAX_REFUSALS;

	if (vsock->refusal_count == MAX_REFUSALS)
		return false;
	vsock->refusals[end] = (struct refusal){ .host_cid = header->dst_cid,
						 .host_port = header->dst_port,
						 .guest_port = header->src_port };
	vsock->refusal_count++;
	vsock_want_pump(vsock);
	return true;
}

void vsock_owe(struct stream *stream, unsigned packets)
{
	stream->owes |= (uint8_t)packets;
	if (!stream->is_owing) {
		stream->is_owing = true;
		TAILQ_INSERT_TAIL(&stream->vsock->owing, stream, in_owing);
	}
	vsock_want_pump(stream->vsock);
}

void vsock_owe_nothing(struct stream *stream)
{
	stream->owes = 0;
	if (stream->is_owing) {
		stream->is_owing = false;
		TAILQ_REMOVE(&stream->vsock->owing, stream, in_owing);
	}
}

void vsock_want_read(struct stream *stream)
{
	if (!stream->is_reading && !io_is_busy(&stream->input)) {
		stream->is_reading = true;
		TAILQ_INSERT_TAIL(&stream->vsock->reading, stream, in_reading);
	}
	vsock_want_pump(stream->vsock);
}

void vsock_want_no_read(struct stream *stream)
{
	if (stream->is_reading) {
		stream->is_reading = false;
		TAILQ_REMOVE(&stream->vsock->reading, stream, in_reading);
	}
}

/* A chain with room for a header and `payload` bytes at least. */
static bool pop_buffer(struct vsock *vsock, size_t payload, struct chain *chain)
{
	if (!virtio_pop(&vsock->device, RX_QUEUE, chain))
		return false;
	if (chain_writable(chain) >= sizeof(struct vsock_header) + payload)
		return true;
	virtio_break(&vsock->device, "a vsock buffer too small for a packet");
	return false;
}

static struct vsock_header header_of(const struct vsock *vsock, enum vsock_op op)
{
	return (struct vsock_header){ .src_cid = VSOCK_HOST_CID,
				      .dst_cid = vsock->config.guest_cid,
				      .type = TYPE_STREAM,
				      .op = (uint16_t)op };
}

/* Writes the header in front of `size` bytes of payload that are already in the chain. */
static void push_packet(struct vsock *vsock, struct chain *chain, struct vsock_header *header,
			uint32_t size)
{
	header->len = size;
	chain->write_position = 0;
	(void)chain_put(chain, header);
	chain->write_position += size;
	virtqueue_push(&vsock->device.queues[RX_QUEUE], chain);
}

/* Every packet of a stream carries its credit. */
static void push_for(struct stream *stream, struct chain *chain, enum vsock_op op, uint32_t size)
{
	struct vsock *vsock = stream->vsock;
	struct vsock_header header = header_of(vsock, op);

	header.src_port = stream->host_port;
	header.dst_port = stream->guest_port;
	header.flags = op == OP_SHUTDOWN ? stream->shutdown_flags : 0;
	header.buf_alloc = vsock->config.buffer_size;
	header.fwd_cnt = stream->forwarded;
	stream->told = stream->forwarded;
	stream->owes &= (uint8_t)~OWES_CREDIT_UPDATE;
	push_packet(vsock, chain, &header, size);
}

static bool send_refusals(struct vsock *vsock)
{
	struct chain *chain = &vsock->rx_chains[0];

	while (vsock->refusal_count > 0) {
		const struct refusal *refusal = &vsock->refusals[vsock->refusal_start];
		struct vsock_header header = header_of(vsock, OP_RST);

		if (!pop_buffer(vsock, 0, chain))
			return false;
		header.src_cid = refusal->host_cid;
		header.src_port = refusal->host_port;
		header.dst_port = refusal->guest_port;
		push_packet(vsock, chain, &header, 0);
		vsock->refusal_start = (vsock->refusal_start + 1) % MAX_REFUSALS;
		vsock->refusal_count--;
	}
	return true;
}

/* The control packets of one stream, in the order that makes sense to the guest. */
static bool send_owed_by(struct stream *stream)
{
	static const struct {
		unsigned bit;
		enum vsock_op op;
	} order[] = {
		{ OWES_RST, OP_RST },           { OWES_REQUEST, OP_REQUEST },
		{ OWES_RESPONSE, OP_RESPONSE }, { OWES_CREDIT_REQUEST, OP_CREDIT_REQUEST },
		{ OWES_SHUTDOWN, OP_SHUTDOWN }, { OWES_CREDIT_UPDATE, OP_CREDIT_UPDATE },
	};
	struct chain *chain = &stream->vsock->rx_chains[0];

	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		if (!(stream->owes & order[i].bit))
			continue;
		if (!pop_buffer(stream->vsock, 0, chain))
			return false;
		stream->owes &= (uint8_t)~order[i].bit;
		push_for(stream, chain, order[i].op, 0);
	}
	return true;
}

static bool send_owed(struct vsock *vsock)
{
	struct stream *stream;

	while ((stream = TAILQ_FIRST(&vsock->owing))) {
		if (!send_owed_by(stream))
			return false;
		vsock_owe_nothing(stream);
		if (stream->state == STREAM_ENDING) { /* that was the RST */
			stream_unhash(stream);
			stream_settle(stream);
		} else {
			stream_watch_input(stream);
		}
	}
	return true;
}

/* ---- data ---- */

/* Pops up to RX_BATCH chains for *size bytes; their payload areas are out[0..*segments), of *size
 * bytes from now on. */
static unsigned pop_batch(struct vsock *vsock, uint32_t *size, struct iovec *out, unsigned max,
			  unsigned *segments)
{
	uint32_t left = *size;
	unsigned count = 0;

	*segments = 0;
	while (count < RX_BATCH && left > 0 && *segments < max) {
		struct chain *chain = &vsock->rx_chains[count];
		size_t covered;

		if (!pop_buffer(vsock, 1, chain))
			break;
		chain->write_position = sizeof(struct vsock_header);
		*segments +=
		    chain_peek_writable(chain, left, out + *segments, max - *segments, &covered);
		left -= (uint32_t)covered;
		count++;
	}
	*size -= left;
	return count;
}

/* Sends the first `size` bytes of the batch, puts back the chains that are left. */
static void push_batch(struct stream *stream, unsigned count, uint32_t size)
{
	struct vsock *vsock = stream->vsock;
	unsigned used = 0;

	for (; used < count && size > 0; used++) {
		struct chain *chain = &vsock->rx_chains[used];
		uint32_t step = (uint32_t)(chain_writable(chain));

		step = least32(step, size);
		push_for(stream, chain, OP_RW, step);
		stream->sent += step;
		size -= step;
	}
	while (count > used)
		virtqueue_unpop(&vsock->device.queues[RX_QUEUE], &vsock->rx_chains[--count]);
}

static void input_read(struct io_op *op, int result)
{
	struct stream *stream = container_of(op, struct stream, input);

	if (result == -EAGAIN) {
		stream_watch_input(stream);
		return;
	}
	if (result <= 0) {
		stream_input_ended(stream);
		return;
	}
	stream->input_start = 0;
	stream->input_size = (uint32_t)result;
	vsock_want_read(stream);
}

static uint8_t *input_buffer(const struct stream *stream)
{
	return stream->buffer + stream->vsock->config.buffer_size;
}

/* The descriptor is ready, but only the loop may read it: into our own buffer. */
static void read_by_loop(struct stream *stream, uint32_t room)
{
	vsock_want_no_read(stream);
	stream->output_mark += stream->output_mark == 0; /* the memory is to be given back */
	io_read(stream->vsock->device.io, &stream->input, stream->fd, input_buffer(stream),
		least32(room, INPUT_SIZE), input_read);
}

/* What the loop has read goes to the guest. */
static bool send_input(struct stream *stream, uint32_t room)
{
	struct vsock *vsock = stream->vsock;
	struct chain *chain = &vsock->rx_chains[0];
	uint32_t size;

	while (stream->input_size > 0 && room > 0) {
		if (!pop_buffer(vsock, 1, chain))
			return false;
		chain->write_position = sizeof(struct vsock_header);
		size = (uint32_t)chain_write(chain, input_buffer(stream) + stream->input_start,
					     least32(room, stream->input_size));
		push_for(stream, chain, OP_RW, size);
		stream->sent += size;
		stream->input_start += size;
		stream->input_size -= size;
		room -= size;
	}
	if (stream->input_size == 0) {
		vsock_want_no_read(stream);
		stream_watch_input(stream);
	}
	return true;
}

/* There may be more to read: in turn with the others, without asking poll. */
static void read_again_later(struct stream *stream)
{
	struct stream_list *reading = &stream->vsock->reading;

	TAILQ_REMOVE(reading, stream, in_reading);
	TAILQ_INSERT_TAIL(reading, stream, in_reading);
}

/* One read of one stream. False: the guest has no buffers. */
static bool send_data(struct stream *stream)
{
	struct vsock *vsock = stream->vsock;
	uint32_t room = stream_guest_room(stream), size = room;
	struct iovec segments[RX_BATCH * 2];
	unsigned chains, count;
	long n;

	if (room == 0) { /* goes on when the guest gives credit */
		vsock_want_no_read(stream);
		if (!stream->asked_credit)
			vsock_owe(stream, OWES_CREDIT_REQUEST);
		stream->asked_credit = true;
		return true;
	}
	if (stream->input_size > 0)
		return send_input(stream, room);
	chains = pop_batch(vsock, &size, segments, RX_BATCH * 2, &count);
	if (chains == 0)
		return false;
	n = hostfd_try_readv(stream->fd, &stream->kind, segments, count);
	push_batch(stream, chains, n > 0 ? (uint32_t)n : 0);
	if (n > 0 && (uint32_t)n == size) {
		read_again_later(stream);
	} else if (n > 0 || n == -EAGAIN) {
		vsock_want_no_read(stream);
		stream_watch_input(stream);
	} else if (n == -EOPNOTSUPP) {
		read_by_loop(stream, room);
	} else {
		stream_input_ended(stream);
	}
	return true;
}

void vsock_pump_run(struct io_deferred *deferred)
{
	struct vsock *vsock = container_of(deferred, struct vsock, pump);
	struct virtio_device *device = &vsock->device;
	struct stream *stream;
	bool has_buffers = send_refusals(vsock) && send_owed(vsock);

	for (int i = 0; i < READS_PER_TURN && has_buffers; i++) {
		stream = TAILQ_FIRST(&vsock->reading);
		if (!stream)
			break;
		has_buffers = send_data(stream) && send_owed(vsock);
	}
	if (has_buffers && !TAILQ_EMPTY(&vsock->reading))
		virtio_again(device, RX_QUEUE);
	if (vsock->tx_held && vsock->refusal_count < MAX_REFUSALS) {
		vsock->tx_held = false;
		virtio_again(device, TX_QUEUE);
	}
	virtio_complete(device, RX_QUEUE);
	virtio_complete(device, TX_QUEUE);
}

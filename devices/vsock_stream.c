/*
 * One stream: guest <-> descriptor.
 *
 * From the guest: bytes are written to the descriptor straight from guest memory if that does not
 * wait; what is left goes to the output ring, whose size is the credit the guest was given, so it
 * always fits. While the ring holds bytes, later ones queue behind them.
 *
 * To the guest: the descriptor is only looked at (poll) until the guest has credit and buffers;
 * then it is read, by vsock_packet.c. So a byte the guest does not want stays where it is, for
 * whoever reads the caller's terminal next.
 *
 * The end: when the guest neither sends nor receives any more it is answered with RST at once (a
 * Linux guest waits for that up to eight seconds), and the stream lives on without the guest until
 * its last byte is written. Only then its owner hears that it is closed.
 */
#include "base/check.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/vsock_private.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

static unsigned bucket(uint32_t host_port, uint32_t guest_port)
{
	return (host_port * 31 + guest_port) % HASH_SIZE;
}

struct stream *stream_find(struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	struct stream *at = vsock->hash[bucket(host_port, guest_port)];

	while (at && (at->host_port != host_port || at->guest_port != guest_port))
		at = at->next;
	return at;
}

void stream_unhash(struct stream *stream)
{
	struct stream **at = &stream->vsock->hash[bucket(stream->host_port, stream->guest_port)];

	if (!stream->is_hashed)
		return;
	while (*at != stream)
		at = &(*at)->next;
	*at = stream->next;
	stream->is_hashed = false;
}

static struct stream *take_slot(struct vsock *vsock)
{
	struct stream *stream = vsock->free;

	if (stream) {
		vsock->free = stream->next;
	} else {
		if (vsock->stream_mark == vsock->config.max_streams)
			return NULL;
		stream = &vsock->streams[vsock->stream_mark];
		stream->buffer = vsock->buffers + (size_t)vsock->stream_mark *
						      (vsock->config.buffer_size + INPUT_SIZE);
		vsock->stream_mark++;
	}
	vsock->stream_count++;
	return stream;
}

struct stream *stream_open(struct vsock *vsock, enum stream_state state, uint32_t host_port,
			   uint32_t guest_port, int fd, enum vsock_mode mode)
{
	struct stream **list = &vsock->hash[bucket(host_port, guest_port)];
	struct stream *stream = take_slot(vsock);

	if (!stream)
		return NULL;
	*stream = (struct stream){ .vsock = vsock,
				   .state = state,
				   .mode = mode,
				   .fd = fd,
				   .kind = hostfd_kind(fd),
				   .host_port = host_port,
				   .guest_port = guest_port,
				   .buffer = stream->buffer,
				   .next = *list,
				   .is_hashed = true };
	*list = stream;
	return stream;
}

static bool is_drained(const struct stream *stream)
{
	return stream->output_size == 0 && !io_is_busy(&stream->output);
}

bool virtio_vsock_is_writing(const struct virtio_device *device)
{
	const struct vsock *vsock = (const struct vsock *)(const void *)device;

	for (unsigned i = 0; i < vsock->stream_mark; i++) {
		const struct stream *stream = &vsock->streams[i];

		if (stream->state != STREAM_FREE && stream->mode == VSOCK_WRITE &&
		    !is_drained(stream))
			return true;
	}
	return false;
}

void vsock_check_ended(struct vsock *vsock)
{
	if (vsock->is_ending && vsock->stream_count == 0)
		io_defer(vsock->device.io, &vsock->ended);
}

/* Gives back the memory of a stream that had a slow reader. */
static void release_slot(struct stream *stream)
{
	struct vsock *vsock = stream->vsock;

	if (stream->output_mark > 0)
		(void)SYS(madvise, stream->buffer, vsock->config.buffer_size + INPUT_SIZE,
			  MADV_DONTNEED);
	stream->state = STREAM_FREE;
	stream->next = vsock->free;
	vsock->free = stream;
	vsock->stream_count--;
	vsock_check_ended(vsock);
}

void stream_settle(struct stream *stream)
{
	struct vsock *vsock = stream->vsock;

	if (stream->state != STREAM_ENDING || !is_drained(stream))
		return;
	close_fd(&stream->fd);
	if (stream->owes == 0) {
		vsock_owe_nothing(stream);
		stream_unhash(stream);
	}
	if (stream->is_bound && !stream->is_reported) {
		stream->is_reported = true;
		if (vsock->config.closed)
			vsock->config.closed(vsock->config.context, stream->host_port,
					     stream->write_error);
	}
	if (stream->owes == 0)
		release_slot(stream);
}

void stream_end(struct stream *stream, bool owes_rst)
{
	if (stream->state == STREAM_ENDING) {
		if (!owes_rst) {
			vsock_owe_nothing(stream);
			stream_unhash(stream);
		}
		stream_settle(stream);
		return;
	}
	stream->state = STREAM_ENDING;
	(void)io_cancel_wait(&stream->input);
	vsock_want_no_read(stream);
	vsock_owe_nothing(stream);
	if (owes_rst)
		vsock_owe(stream, OWES_RST);
	else
		stream_unhash(stream);
	stream_settle(stream);
}

void stream_destroy(struct stream *stream)
{
	(void)io_cancel_wait(&stream->input);
	(void)io_cancel_wait(&stream->output);
	close_fd(&stream->fd);
	stream->state = STREAM_FREE;
}

void stream_check(struct stream *stream)
{
	bool from_guest_over = stream->mode == VSOCK_READ || stream->write_error < 0 ||
			       (stream->guest_sends_no_more && is_drained(stream));
	bool to_guest_over = stream->mode == VSOCK_WRITE || stream->guest_receives_no_more;

	if (stream->state != STREAM_OPEN)
		return;
	if ((stream->guest_sends_no_more && stream->guest_receives_no_more) ||
	    (from_guest_over && to_guest_over)) {
		stream_end(stream, true);
		return;
	}
	if (stream->guest_sends_no_more && from_guest_over && !stream->has_shut_fd &&
	    stream->kind == HOSTFD_SOCKET) {
		stream->has_shut_fd = true;
		(void)SYS(shutdown, stream->fd, SHUT_WR);
	}
}

/* ---- descriptor to guest ---- */

uint32_t stream_guest_room(const struct stream *stream)
{
	uint32_t unread = stream->sent - stream->guest_forwarded;

	return unread < stream->guest_buf_alloc ? stream->guest_buf_alloc - unread : 0;
}

static struct stream *of_input(struct io_op *op)
{
	return container_of(op, struct stream, input);
}

static void input_ready(struct io_op *op, int result)
{
	struct stream *stream = of_input(op);

	if (result < 0)
		stream_input_ended(stream);
	else
		vsock_want_read(stream);
}

void stream_watch_input(struct stream *stream)
{
	if (stream->state != STREAM_OPEN || stream->mode == VSOCK_WRITE || stream->input_ended ||
	    stream->guest_receives_no_more || stream->asked_credit || stream->is_reading ||
	    stream->input_size > 0 || io_is_busy(&stream->input))
		return;
	io_poll(stream->vsock->device.io, &stream->input, stream->fd, POLLIN, input_ready);
}

void stream_input_ended(struct stream *stream)
{
	if (stream->state != STREAM_OPEN || stream->input_ended)
		return;
	stream->input_ended = true;
	vsock_want_no_read(stream);
	stream->shutdown_flags |= NO_MORE_SEND;
	vsock_owe(stream, OWES_SHUTDOWN);
	stream_check(stream);
}

/* ---- guest to descriptor ---- */

static struct stream *of_output(struct io_op *op)
{
	return container_of(op, struct stream, output);
}

/* The guest may send `size` more; it is told so before it runs dry. */
static void forwarded(struct stream *stream, uint32_t size)
{
	uint32_t buffer_size = stream->vsock->config.buffer_size, known_room;

	stream->forwarded += size;
	known_room = buffer_size - (stream->received - stream->told);
	if (stream->state == STREAM_OPEN && !stream->guest_sends_no_more &&
	    known_room < buffer_size / 2)
		vsock_owe(stream, OWES_CREDIT_UPDATE);
}

/* The reader is gone or its disk is full: what was not written never will be. */
static void write_failed(struct stream *stream, int error)
{
	stream->write_error = error;
	forwarded(stream, stream->output_size);
	stream->output_start = stream->output_size = 0;
	if (stream->state == STREAM_OPEN) {
		stream->shutdown_flags |= NO_MORE_RECEIVE;
		vsock_owe(stream, OWES_SHUTDOWN);
	}
}

static void output_written(struct stream *stream, uint32_t size)
{
	stream->output_start = (stream->output_start + size) % stream->vsock->config.buffer_size;
	stream->output_size -= size;
	if (stream->output_size == 0)
		stream->output_start = 0; /* keep to the pages already touched */
	forwarded(stream, size);
}

static unsigned output_segments(const struct stream *stream, struct iovec out[2])
{
	uint32_t size = stream->vsock->config.buffer_size;
	uint32_t first = least32(stream->output_size, size - stream->output_start);

	out[0] = (struct iovec){ stream->buffer + stream->output_start, first };
	out[1] = (struct iovec){ stream->buffer, stream->output_size - first };
	return out[1].iov_len > 0 ? 2 : 1;
}

static void write_output(struct stream *stream);

static void output_moved(struct stream *stream, long result)
{
	if (result == -EAGAIN)
		result = 0;
	if (result < 0)
		write_failed(stream, (int)result);
	else
		output_written(stream, (uint32_t)result);
	write_output(stream);
	stream_check(stream);
	stream_settle(stream);
}

static void output_done(struct io_op *op, int result)
{
	output_moved(of_output(op), result);
}

static void output_ready(struct io_op *op, int result)
{
	struct stream *stream = of_output(op);
	struct iovec segments[2];
	long n = result;

	if (result >= 0)
		n = hostfd_try_writev(stream->fd, &stream->kind, segments,
				      output_segments(stream, segments));
	output_moved(stream, n == -EOPNOTSUPP ? 0 : n);
}

static void write_output(struct stream *stream)
{
	struct io *io = stream->vsock->device.io;
	struct iovec segments[2];

	if (stream->output_size == 0 || io_is_busy(&stream->output))
		return;
	if (stream->kind == HOSTFD_FILE || stream->kind == HOSTFD_BLOCKING) {
		(void)output_segments(stream, segments);
		io_write(io, &stream->output, stream->fd, segments[0].iov_base, segments[0].iov_len,
			 output_done);
	} else {
		io_poll(io, &stream->output, stream->fd, POLLOUT, output_ready);
	}
}

static void append_output(struct stream *stream, struct chain *chain, uint32_t size)
{
	uint32_t ring = stream->vsock->config.buffer_size;

	CHECK(size <= ring - stream->output_size);
	while (size > 0) {
		uint32_t end = (stream->output_start + stream->output_size) % ring;
		uint32_t step = least32(size, ring - end);

		(void)chain_read(chain, stream->buffer + end, step);
		stream->output_size += step;
		size -= step;
		if (end + step > stream->output_mark)
			stream->output_mark = end + step;
	}
}

void stream_take(struct stream *stream, struct chain *chain, uint32_t size)
{
	struct iovec segments[8];
	uint32_t before = stream->output_size;
	size_t covered;
	unsigned count;
	long n = 0;

	stream->received += size;
	if (stream->mode == VSOCK_READ && !(stream->shutdown_flags & NO_MORE_RECEIVE)) {
		stream->shutdown_flags |= NO_MORE_RECEIVE;
		vsock_owe(stream, OWES_SHUTDOWN);
	}
	if (stream->mode == VSOCK_READ || stream->write_error < 0 || stream->guest_sends_no_more) {
		forwarded(stream, size);
		return;
	}
	while (is_drained(stream) && size > 0 && n >= 0) {
		count = chain_peek_readable(chain, size, segments, 8, &covered);
		n = hostfd_try_writev(stream->fd, &stream->kind, segments, count);
		if (n <= 0)
			break;
		chain->read_position += (size_t)n;
		size -= (uint32_t)n;
		forwarded(stream, (uint32_t)n);
		if ((size_t)n < covered)
			break;
	}
	if (n < 0 && n != -EAGAIN && n != -EOPNOTSUPP) {
		write_failed(stream, (int)n);
		forwarded(stream, size);
		stream_check(stream);
		return;
	}
	append_output(stream, chain, size);
	if (before == 0)
		write_output(stream);
}

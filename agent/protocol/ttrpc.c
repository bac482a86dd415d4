#include "agent/protocol/ttrpc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	INPUT_SIZE = 16 << 10,   /* of one read */
	KEPT_CAPACITY = 64 << 10 /* a larger buffer is given back once it is empty */
};

static uint32_t load_be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void store_be32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

void ttrpc_encode_header(const struct ttrpc_frame *frame, uint8_t header[TTRPC_HEADER_SIZE])
{
	store_be32(header, frame->size);
	store_be32(header + 4, frame->stream_id);
	header[8] = frame->type;
	header[9] = frame->flags;
}

static int begin_data(struct ttrpc_decoder *decoder)
{
	const uint8_t *header = decoder->header;
	struct ttrpc_frame *frame = &decoder->frame;

	*frame = (struct ttrpc_frame){ .size = load_be32(header),
				       .stream_id = load_be32(header + 4),
				       .type = header[8],
				       .flags = header[9] };
	frame->oversize = frame->size > decoder->max_data;
	if (frame->oversize || frame->size <= decoder->data_capacity)
		return 0;
	free(decoder->data);
	decoder->data_capacity = 0;
	decoder->data = malloc(frame->size);
	if (!decoder->data)
		return -ENOMEM;
	decoder->data_capacity = frame->size;
	return 0;
}

static void drop_large_buffer(struct ttrpc_decoder *decoder)
{
	if (decoder->data_capacity <= KEPT_CAPACITY)
		return;
	free(decoder->data);
	decoder->data = NULL;
	decoder->data_capacity = 0;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

int ttrpc_decoder_feed(struct ttrpc_decoder *decoder, const uint8_t *bytes, size_t size,
		       size_t *used, struct ttrpc_frame *frame)
{
	size_t part = least(size, TTRPC_HEADER_SIZE - decoder->header_filled);

	if (decoder->header_filled == 0)
		drop_large_buffer(decoder);
	*used = part;
	if (part > 0) {
		memcpy(decoder->header + decoder->header_filled, bytes, part);
		decoder->header_filled += part;
		if (decoder->header_filled == TTRPC_HEADER_SIZE && begin_data(decoder) < 0) {
			decoder->header_filled = 0;
			return -ENOMEM;
		}
	}
	if (decoder->header_filled < TTRPC_HEADER_SIZE)
		return 0;

	part = least(size - *used, decoder->frame.size - decoder->data_filled);
	if (part > 0 && decoder->data && !decoder->frame.oversize)
		memcpy(decoder->data + decoder->data_filled, bytes + *used, part);
	decoder->data_filled += part;
	*used += part;
	if (decoder->data_filled < decoder->frame.size)
		return 0;

	*frame = decoder->frame;
	frame->data = frame->oversize ? NULL : decoder->data;
	decoder->header_filled = decoder->data_filled = 0;
	return 1;
}

void ttrpc_decoder_finish(struct ttrpc_decoder *decoder)
{
	free(decoder->data);
	*decoder = (struct ttrpc_decoder){ 0 };
}

int ttrpc_stream_init(struct ttrpc_stream *stream, int fd, uint32_t max_data)
{
	int flags = fcntl(fd, F_GETFL);
	struct ttrpc_stream made = { .fd = fd, .decoder.max_data = max_data };

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	made.input = malloc(INPUT_SIZE);
	if (!made.input)
		return -ENOMEM;
	*stream = made;
	return 0;
}

void ttrpc_stream_finish(struct ttrpc_stream *stream)
{
	if (stream->input)
		(void)close(stream->fd);
	ttrpc_decoder_finish(&stream->decoder);
	free(stream->input);
	free(stream->output);
	*stream = (struct ttrpc_stream){ .fd = -1 };
}

static int fill_input(struct ttrpc_stream *stream)
{
	ssize_t got;

	do {
		got = recv(stream->fd, stream->input, INPUT_SIZE, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (got == 0)
		return -ECONNRESET;
	stream->input_at = 0;
	stream->input_size = (size_t)got;
	return 1;
}

int ttrpc_stream_receive(struct ttrpc_stream *stream, struct ttrpc_frame *frame)
{
	for (;;) {
		size_t used;
		int r;

		if (stream->input_at == stream->input_size) {
			r = fill_input(stream);
			if (r <= 0)
				return r;
		}
		r = ttrpc_decoder_feed(&stream->decoder, stream->input + stream->input_at,
				       stream->input_size - stream->input_at, &used, frame);
		stream->input_at += used;
		if (r != 0)
			return r;
	}
}

static int grow_output(struct ttrpc_stream *stream, size_t more)
{
	size_t waiting = stream->output_size - stream->output_at;
	size_t capacity = stream->output_capacity ? stream->output_capacity : 4096;
	uint8_t *moved;

	if (stream->output_at > 0) {
		memmove(stream->output, stream->output + stream->output_at, waiting);
		stream->output_at = 0;
		stream->output_size = waiting;
	}
	while (capacity < waiting + more)
		capacity *= 2;
	if (capacity == stream->output_capacity)
		return 0;
	moved = realloc(stream->output, capacity);
	if (!moved)
		return -ENOMEM;
	stream->output = moved;
	stream->output_capacity = capacity;
	return 0;
}

uint8_t *ttrpc_stream_queue(struct ttrpc_stream *stream, const struct ttrpc_frame *frame)
{
	uint8_t *at;

	if (grow_output(stream, TTRPC_HEADER_SIZE + (size_t)frame->size) < 0)
		return NULL;
	at = stream->output + stream->output_size;
	ttrpc_encode_header(frame, at);
	stream->output_size += TTRPC_HEADER_SIZE + (size_t)frame->size;
	return at + TTRPC_HEADER_SIZE;
}

int ttrpc_stream_flush(struct ttrpc_stream *stream)
{
	while (stream->output_at < stream->output_size) {
		ssize_t sent = send(stream->fd, stream->output + stream->output_at,
				    stream->output_size - stream->output_at, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 0 : -errno;
		stream->output_at += (size_t)sent;
	}
	stream->output_at = stream->output_size = 0;
	if (stream->output_capacity > KEPT_CAPACITY) {
		free(stream->output);
		stream->output = NULL;
		stream->output_capacity = 0;
	}
	return 0;
}

short ttrpc_stream_events(const struct ttrpc_stream *stream)
{
	return stream->output_at < stream->output_size ? POLLIN | POLLOUT : POLLIN;
}

uint64_t ttrpc_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

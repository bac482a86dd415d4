#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * ttrpc frames, and a stream socket carrying them. Nothing here knows what a frame's data mean:
 * ttrpc_client.h and ttrpc_server.h do.
 *
 * A frame is a header of ten bytes, big endian, and its data.
 */
enum {
	TTRPC_HEADER_SIZE = 10,
	TTRPC_MAX_DATA = 4 << 20, /* more is read, thrown away and answered RESOURCE_EXHAUSTED */
};

enum ttrpc_type {
	TTRPC_REQUEST = 1,
	TTRPC_RESPONSE = 2,
	TTRPC_DATA = 3,
};

enum ttrpc_flag {
	TTRPC_REMOTE_CLOSED = 0x01,
	TTRPC_REMOTE_OPEN = 0x02,
	TTRPC_NO_DATA = 0x04,
};

/* gRPC's numbers; the ones that anybody acts on. */
enum ttrpc_code {
	TTRPC_OK = 0,
	TTRPC_CANCELLED = 1,
	TTRPC_UNKNOWN = 2,
	TTRPC_INVALID_ARGUMENT = 3,
	TTRPC_DEADLINE_EXCEEDED = 4,
	TTRPC_NOT_FOUND = 5,
	TTRPC_ALREADY_EXISTS = 6,
	TTRPC_PERMISSION_DENIED = 7,
	TTRPC_RESOURCE_EXHAUSTED = 8,
	TTRPC_FAILED_PRECONDITION = 9,
	TTRPC_UNIMPLEMENTED = 12,
	TTRPC_INTERNAL = 13,
	TTRPC_UNAVAILABLE = 14,
};

struct ttrpc_frame {
	uint32_t stream_id;
	uint8_t type;
	uint8_t flags;
	bool oversize;       /* the data were longer than allowed and are gone */
	uint32_t size;       /* as the header says */
	const uint8_t *data; /* the decoder's; valid until it is fed again; NULL when oversize */
};

/* Puts frames together from bytes that come in pieces of any size. Zeroed plus max_data is ready.
 */
struct ttrpc_decoder {
	uint32_t max_data; /* at most TTRPC_MAX_DATA */
	size_t header_filled, data_filled;
	uint8_t *data;
	uint32_t data_capacity;
	struct ttrpc_frame frame;
	uint8_t header[TTRPC_HEADER_SIZE];
};

/* Takes bytes up to the end of the first frame they complete and says how many in *used.
 * 1: *frame is complete. 0: all bytes taken, more are needed. -ENOMEM. */
int ttrpc_decoder_feed(struct ttrpc_decoder *decoder, const uint8_t *bytes, size_t size,
		       size_t *used, struct ttrpc_frame *frame);
void ttrpc_decoder_finish(struct ttrpc_decoder *decoder);

void ttrpc_encode_header(const struct ttrpc_frame *frame, uint8_t header[TTRPC_HEADER_SIZE]);

/*
 * A non-blocking stream socket with a decoder on one side and a queue of bytes to be sent on the
 * other. One thread owns it.
 */
struct ttrpc_stream {
	int fd; /* owned */
	struct ttrpc_decoder decoder;
	uint8_t *input; /* bytes received and not yet decoded: [input_at, input_size) */
	size_t input_at, input_size;
	uint8_t *output; /* bytes to be sent: [output_at, output_size) */
	size_t output_at, output_size, output_capacity;
};

/* Takes fd and makes it non-blocking. */
int ttrpc_stream_init(struct ttrpc_stream *stream, int fd, uint32_t max_data);
void ttrpc_stream_finish(struct ttrpc_stream *stream);

/* The next frame that has arrived. 1: *frame is it, valid until the next call. 0: nothing now.
 * -ECONNRESET: the other side is gone. Else -errno. */
int ttrpc_stream_receive(struct ttrpc_stream *stream, struct ttrpc_frame *frame);

/* Room for a frame of frame->size bytes is made at the end of the output queue, its header is
 * written, and the place for its data handed back; NULL when memory is out. Sent by flush. */
uint8_t *ttrpc_stream_queue(struct ttrpc_stream *stream, const struct ttrpc_frame *frame);

/* Sends what the socket takes. 0 or -errno. Bytes may be left: see ttrpc_stream_events. */
int ttrpc_stream_flush(struct ttrpc_stream *stream);

/* What to poll fd for: POLLIN, and POLLOUT while there are bytes to send. */
short ttrpc_stream_events(const struct ttrpc_stream *stream);

/* CLOCK_MONOTONIC, for deadlines. */
uint64_t ttrpc_now_ns(void);

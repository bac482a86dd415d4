#pragma once
/* Shared by the files of the vsock device; nobody else includes it.
 *   virtio_vsock.c  the device: queues, packets from the guest, bindings and listeners
 *   vsock_packet.c  packets to the guest: owed control packets, data read from descriptors
 *   vsock_stream.c  one stream: its life, its credit, what is written to its descriptor */
#include "devices/hostfd.h"
#include "devices/io.h"
#include "devices/virtio_vsock.h"
#include <sys/queue.h>

enum { RX_QUEUE, TX_QUEUE, EVENT_QUEUE };
enum vsock_op {
	OP_REQUEST = 1,
	OP_RESPONSE,
	OP_RST,
	OP_SHUTDOWN,
	OP_RW,
	OP_CREDIT_UPDATE,
	OP_CREDIT_REQUEST,
};
enum { TYPE_STREAM = 1, NO_MORE_RECEIVE = 1, NO_MORE_SEND = 2 };

struct vsock_header { /* virtio 1.3 section 5.10.6 */
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));
_Static_assert(sizeof(struct vsock_header) == 44, "as the specification has it");

enum {
	HASH_SIZE = 256,
	MAX_BINDINGS = 256,
	MAX_LISTENERS = 16,
	MAX_REFUSALS = 64,
	RX_BATCH = 16,          /* chains filled by one read */
	INPUT_SIZE = 16 * 1024, /* for descriptors that cannot be read straight into the guest */
};

enum stream_state {
	STREAM_FREE,
	STREAM_CONNECTING, /* we asked the guest */
	STREAM_OPEN,
	STREAM_ENDING, /* nothing more from or for the guest but RST; output may still be written */
};

/* Control packets a stream owes to the guest; sent when there is a buffer for them. */
enum {
	OWES_REQUEST = 1,
	OWES_RESPONSE = 2,
	OWES_SHUTDOWN = 4,
	OWES_CREDIT_UPDATE = 8,
	OWES_CREDIT_REQUEST = 16,
	OWES_RST = 32,
};

struct stream {
	struct io_op input, output;
	struct vsock *vsock;
	TAILQ_ENTRY(stream) in_owing, in_reading;
	struct stream *next; /* of the same hash, or the next free one */
	bool is_owing, is_reading, is_hashed;

	enum stream_state state;
	enum vsock_mode mode;
	enum hostfd_kind kind;
	int fd;
	bool is_bound, is_reported; /* the owner of a bound port hears of the end, once */
	uint32_t host_port, guest_port;
	uint8_t owes;
	uint32_t shutdown_flags; /* what OWES_SHUTDOWN says */

	/* credit, virtio 1.3 section 5.10.6.3; all counters wrap */
	uint32_t guest_buf_alloc, guest_forwarded, sent; /* to the guest */
	uint32_t received, forwarded, told;              /* from the guest; told: in a packet */
	bool asked_credit;

	bool guest_sends_no_more, guest_receives_no_more;
	bool input_ended; /* the descriptor's end was told to the guest */
	bool has_shut_fd;
	int write_error;

	uint8_t *buffer; /* output ring (vsock->buffer_size), then INPUT_SIZE; touched when used */
	uint32_t output_start, output_size, output_mark;
	uint32_t input_start, input_size;
};

TAILQ_HEAD(stream_list, stream);

struct binding {
	uint32_t port;
	int fd; /* < 0: free */
	enum vsock_mode mode;
};

struct listener {
	struct io_op op;
	struct vsock *vsock;
	int fd; /* < 0: free */
	uint32_t guest_port;
};

struct refusal { /* an RST for a stream that does not exist */
	uint64_t host_cid;
	uint32_t host_port, guest_port;
};

struct vsock {
	struct virtio_device device; /* first: the transport gives it back */
	struct virtio_vsock_config config;
	struct io_deferred pump, ended;
	bool is_ending; /* virtio_vsock_end was called */
	struct stream *streams;
	uint8_t *buffers;
	size_t buffers_size;
	struct stream *free;
	unsigned stream_mark, stream_count; /* ever used; in use */
	struct stream *hash[HASH_SIZE];
	struct stream_list owing, reading;
	uint32_t next_port;
	bool tx_held; /* the tx queue waits until refusals are sent */
	unsigned refusal_start, refusal_count;
	struct refusal refusals[MAX_REFUSALS];
	struct binding bindings[MAX_BINDINGS];
	struct listener listeners[MAX_LISTENERS];
	struct chain tx_chain, rx_chains[RX_BATCH];
};

static inline struct vsock *vsock_of(struct virtio_device *device)
{
	return (struct vsock *)(void *)device;
}

static inline uint32_t least32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- vsock_packet.c ---- */

/* Packets will be sent at the end of this turn. */
void vsock_want_pump(struct vsock *vsock);
void vsock_pump_run(struct io_deferred *deferred);
/* False: no more of them can be remembered until some were sent. */
bool vsock_refuse(struct vsock *vsock, const struct vsock_header *header);
void vsock_owe(struct stream *stream, unsigned packets);
void vsock_owe_nothing(struct stream *stream);
void vsock_want_read(struct stream *stream);
void vsock_want_no_read(struct stream *stream);

/* ---- vsock_stream.c ---- */

struct stream *stream_find(struct vsock *vsock, uint32_t host_port, uint32_t guest_port);
/* Takes fd. NULL: too many streams. */
struct stream *stream_open(struct vsock *vsock, enum stream_state state, uint32_t host_port,
			   uint32_t guest_port, int fd, enum vsock_mode mode);
void stream_unhash(struct stream *stream);
/* Waits for input from the descriptor if the guest may have any. */
void stream_watch_input(struct stream *stream);
uint32_t stream_guest_room(const struct stream *stream);
void stream_input_ended(struct stream *stream);
/* `size` bytes of the chain, which were checked against the credit. */
void stream_take(struct stream *stream, struct chain *chain, uint32_t size);
/* Ends it if there is nothing more to do in either direction. */
void stream_check(struct stream *stream);
/* No more traffic with the guest, but an RST if that is owed. Output goes on. */
void stream_end(struct stream *stream, bool owes_rst);
/* Frees what has ended completely. */
void stream_settle(struct stream *stream);
/* After virtio_vsock_end: tells the owner once nothing is left. */
void vsock_check_ended(struct vsock *vsock);
/* Throws it away as it is. */
void stream_destroy(struct stream *stream);

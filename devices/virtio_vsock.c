/*
 * The vsock device: what comes from the guest, and what the host side asks for. See vsock_private.h
 * for how the work is divided.
 *
 * The guest's packets are headers with numbers; nothing in them is believed. Ports select a stream
 * or a binding by search, a length is compared with the chain and with the credit the guest was
 * given, an operation that does not fit the stream's state ends that stream with RST. The guest can
 * make this device hold at most max_streams streams with two bounded buffers each.
 */
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/vsock_private.h"

#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

enum {
	/* The driver fills the queue with buffers of 4 KiB in slabs of 8. */
	QUEUE_SIZE = 32,
	PACKETS_PER_TURN = 128,
	PAGE = 4096,
	FIRST_PORT = 0x40000000,
	RETRY_NS = 100 * 1000 * 1000
};

/* ---- packets from the guest ---- */

static bool accept_binding(struct vsock *vsock, const struct vsock_header *header)
{
	struct binding *binding = vsock->bindings;
	const struct binding *end = binding + MAX_BINDINGS;
	struct stream *stream;

	while (binding < end && (binding->fd < 0 || binding->port != header->dst_port))
		binding++;
	if (binding == end)
		return false;
	stream = stream_open(vsock, STREAM_OPEN, header->dst_port, header->src_port, binding->fd,
			     binding->mode);
	if (!stream)
		return false;
	binding->fd = -EBADF;
	stream->is_bound = true;
	stream->guest_buf_alloc = header->buf_alloc;
	stream->guest_forwarded = header->fwd_cnt;
	stream->sent = header->fwd_cnt; /* nothing is on its way */
	vsock_owe(stream, OWES_RESPONSE);
	if (vsock->config.connected)
		vsock->config.connected(vsock->config.context, header->dst_port);
	return true;
}

static void on_shutdown(struct stream *stream, uint32_t flags)
{
	stream->guest_sends_no_more |= (flags & NO_MORE_SEND) != 0;
	stream->guest_receives_no_more |= (flags & NO_MORE_RECEIVE) != 0;
	if (stream->guest_receives_no_more) {
		(void)io_cancel_wait(&stream->input);
		vsock_want_no_read(stream);
		stream->input_size = 0;
	}
	stream_check(stream);
}

/* The guest's view of what it can take; data that waited for that goes on. */
static void take_credit(struct stream *stream, const struct vsock_header *header)
{
	stream->guest_buf_alloc = header->buf_alloc;
	stream->guest_forwarded = header->fwd_cnt;
	if (stream->asked_credit && stream_guest_room(stream) > 0) {
		stream->asked_credit = false;
		vsock_want_read(stream);
	}
}

static void on_data(struct stream *stream, const struct vsock_header *header)
{
	struct vsock *vsock = stream->vsock;
	uint32_t on_the_way = stream->received - stream->forwarded;

	if (header->len > chain_readable(&vsock->tx_chain) ||
	    header->len > vsock->config.buffer_size - on_the_way) {
		log_guest(&vsock->device.limit, LOG_LEVEL_WARNING,
			  "virtio-vsock: more data than credit on port %u", stream->host_port);
		stream_end(stream, true);
		return;
	}
	stream_take(stream, &vsock->tx_chain, header->len);
}

static void on_stream_packet(struct stream *stream, const struct vsock_header *header)
{
	if (header->op == OP_RST) {
		stream_end(stream, false);
		return;
	}
	if (stream->state == STREAM_ENDING)
		return; /* sent before the guest heard of the end */
	take_credit(stream, header);
	if (stream->state == STREAM_CONNECTING) {
		if (header->op == OP_RESPONSE) {
			stream->state = STREAM_OPEN;
			stream_watch_input(stream);
		} else {
			stream_end(stream, true);
		}
		return;
	}
	switch (header->op) {
	case OP_RW:
		on_data(stream, header);
		break;
	case OP_SHUTDOWN:
		on_shutdown(stream, header->flags);
		break;
	case OP_CREDIT_REQUEST:
		vsock_owe(stream, OWES_CREDIT_UPDATE);
		break;
	case OP_CREDIT_UPDATE:
		break;
	default: /* a second request or response, or nothing we know */
		stream_end(stream, true);
		break;
	}
}

static void on_packet(struct vsock *vsock)
{
	struct vsock_header header;
	struct stream *stream = NULL;

	if (!chain_get(&vsock->tx_chain, &header)) {
		virtio_break(&vsock->device, "a vsock packet without header");
		return;
	}
	if (header.src_cid != vsock->config.guest_cid)
		return;
	if (header.dst_cid == VSOCK_HOST_CID && header.type == TYPE_STREAM)
		stream = stream_find(vsock, header.dst_port, header.src_port);
	if (stream) {
		on_stream_packet(stream, &header);
		return;
	}
	if (header.op == OP_RST)
		return;
	if (header.op == OP_REQUEST && header.type == TYPE_STREAM &&
	    header.dst_cid == VSOCK_HOST_CID && accept_binding(vsock, &header))
		return;
	(void)vsock_refuse(vsock, &header); /* there is room: see serve_tx */
}

static void serve_tx(struct vsock *vsock)
{
	struct virtio_device *device = &vsock->device;
	unsigned served = 0;

	while (served < PACKETS_PER_TURN) {
		if (vsock->refusal_count == MAX_REFUSALS) {
			vsock->tx_held = true; /* until the guest takes some of them */
			break;
		}
		if (!virtio_pop(device, TX_QUEUE, &vsock->tx_chain))
			break;
		on_packet(vsock);
		virtqueue_push_head(&device->queues[TX_QUEUE], vsock->tx_chain.head, 0);
		served++;
	}
	if (served == PACKETS_PER_TURN)
		virtio_again(device, TX_QUEUE);
	if (served > 0)
		vsock_want_pump(vsock);
}

static void notify(struct virtio_device *device, unsigned queue)
{
	struct vsock *vsock = vsock_of(device);

	if (queue == TX_QUEUE)
		serve_tx(vsock);
	else if (queue == RX_QUEUE)
		vsock_want_pump(vsock);
}

/* ---- connections from the host ---- */

static void accepted(struct io_op *op, int result);

static void listen_again(struct listener *listener)
{
	struct io *io = listener->vsock->device.io;

	if (listener->fd >= 0 && listener->vsock->device.active && !io_is_busy(&listener->op))
		io_accept(io, &listener->op, listener->fd, accepted);
}

static void retry(struct io_op *op, int result)
{
	if (result == 0)
		listen_again((struct listener *)(void *)op);
}

/* A host port nobody uses with this guest port. */
static uint32_t choose_port(struct vsock *vsock, uint32_t guest_port)
{
	do {
		vsock->next_port =
		    vsock->next_port < UINT32_MAX - 1 ? vsock->next_port + 1 : FIRST_PORT;
	} while (stream_find(vsock, vsock->next_port, guest_port));
	return vsock->next_port;
}

static void accepted(struct io_op *op, int result)
{
	struct listener *listener = (struct listener *)(void *)op;
	struct vsock *vsock = listener->vsock;
	own_fd fd = result;
	struct stream *stream;

	if (result == -ECANCELED)
		return;
	if (result >= 0) {
		uint32_t port = choose_port(vsock, listener->guest_port);

		stream = stream_open(vsock, STREAM_CONNECTING, port, listener->guest_port, fd,
				     VSOCK_BOTH);
		if (stream) {
			(void)take_fd(&fd);
			vsock_owe(stream, OWES_REQUEST);
		}
		listen_again(listener);
	} else if (result == -ECONNABORTED) {
		listen_again(listener);
	} else {
		/* out of descriptors or memory: the client waits in the backlog */
		log_guest(&vsock->device.limit, LOG_LEVEL_WARNING,
			  "vsock: accept for guest port %u: %s", listener->guest_port,
			  sys_text(result));
		io_timer(vsock->device.io, &listener->op, RETRY_NS, retry);
	}
}

int virtio_vsock_bind(struct virtio_device *device, uint32_t port, int fd, enum vsock_mode mode)
{
	struct vsock *vsock = vsock_of(device);
	struct binding *unused = NULL;

	for (unsigned i = 0; i < MAX_BINDINGS; i++) {
		struct binding *binding = &vsock->bindings[i];

		if (binding->fd >= 0 && binding->port == port)
			return -EEXIST;
		if (binding->fd < 0 && !unused)
			unused = binding;
	}
	if (!unused)
		return -ENOSPC;
	*unused = (struct binding){ .port = port, .fd = fd, .mode = mode };
	return 0;
}

int virtio_vsock_listen(struct virtio_device *device, int listen_fd, uint32_t guest_port)
{
	struct vsock *vsock = vsock_of(device);

	for (unsigned i = 0; i < MAX_LISTENERS; i++) {
		struct listener *listener = &vsock->listeners[i];

		if (listener->fd >= 0)
			continue;
		listener->fd = listen_fd;
		listener->guest_port = guest_port;
		listen_again(listener);
		return 0;
	}
	return -ENOSPC;
}

/* ---- life ---- */

static int activate(struct virtio_device *device)
{
	struct vsock *vsock = vsock_of(device);

	for (unsigned i = 0; i < MAX_LISTENERS; i++)
		listen_again(&vsock->listeners[i]);
	return 0;
}

static void quiesce(struct virtio_device *device)
{
	struct vsock *vsock = vsock_of(device);

	for (unsigned i = 0; i < MAX_LISTENERS; i++)
		(void)io_cancel_wait(&vsock->listeners[i].op);
	for (unsigned i = 0; i < vsock->stream_mark; i++) {
		struct stream *stream = &vsock->streams[i];
		bool is_open = stream->state == STREAM_OPEN || stream->state == STREAM_CONNECTING;

		if (is_open && stream->mode != VSOCK_READ && !stream->guest_sends_no_more &&
		    stream->write_error == 0)
			stream->write_error = -ECONNRESET;
		if (stream->state != STREAM_FREE)
			stream_end(stream, false);
	}
	vsock->refusal_count = 0;
	vsock->tx_held = false;
	io_defer_cancel(device->io, &vsock->pump);
}

static void run_ended(struct io_deferred *deferred)
{
	struct vsock *vsock = container_of(deferred, struct vsock, ended);

	vsock->is_ending = false;
	if (vsock->config.ended)
		vsock->config.ended(vsock->config.context);
}

void virtio_vsock_end(struct virtio_device *device)
{
	struct vsock *vsock = vsock_of(device);
	unsigned budget = QUEUE_SIZE;

	if (vsock->is_ending)
		return;
	vsock->is_ending = true;
	while (device->active && budget-- > 0 && virtio_pop(device, TX_QUEUE, &vsock->tx_chain)) {
		on_packet(vsock);
		virtqueue_push_head(&device->queues[TX_QUEUE], vsock->tx_chain.head, 0);
	}
	quiesce(device);
	device->active = false;
	vsock_check_ended(vsock);
}

void virtio_vsock_transport_reset(struct virtio_device *device)
{
	struct vsock *vsock = vsock_of(device);
	const uint32_t transport_reset = 0; /* 5.10.6.7 */

	if (!device->active || !virtio_pop(device, EVENT_QUEUE, &vsock->tx_chain))
		return;
	(void)chain_put(&vsock->tx_chain, &transport_reset);
	virtqueue_push(&device->queues[EVENT_QUEUE], &vsock->tx_chain);
	virtio_complete(device, EVENT_QUEUE);
}

static void destroy(struct virtio_device *device)
{
	struct vsock *vsock = vsock_of(device);

	if (device->io)
		io_defer_cancel(device->io, &vsock->ended);
	for (unsigned i = 0; i < vsock->stream_mark; i++)
		if (vsock->streams[i].state != STREAM_FREE)
			stream_destroy(&vsock->streams[i]);
	for (unsigned i = 0; i < MAX_BINDINGS; i++)
		close_fd(&vsock->bindings[i].fd);
	for (unsigned i = 0; i < MAX_LISTENERS; i++)
		close_fd(&vsock->listeners[i].fd);
	if (vsock->buffers)
		(void)SYS(munmap, vsock->buffers, vsock->buffers_size);
	free(vsock->streams);
	free(vsock);
}

static const struct virtio_type type = {
	.name = "virtio-vsock",
	.id = VIRTIO_ID_VSOCK,
	.queue_count = 3,
	.queue_size = QUEUE_SIZE,
	.activate = activate,
	.notify = notify,
	.quiesce = quiesce,
	.destroy = destroy,
};

/* All memory the device will ever have, touched only where streams use it. */
static int allocate(struct vsock *vsock)
{
	const struct virtio_vsock_config *config = &vsock->config;
	void *mapped;
	int r;

	vsock->streams = calloc(config->max_streams, sizeof *vsock->streams);
	if (!vsock->streams)
		return -ENOMEM;
	vsock->buffers_size = (size_t)config->max_streams * (config->buffer_size + INPUT_SIZE);
	r = sys_mmap(NULL, vsock->buffers_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, &mapped);
	if (r == 0)
		vsock->buffers = mapped;
	return r;
}

static void set_defaults(struct vsock *vsock)
{
	struct virtio_vsock_config *config = &vsock->config;

	if (config->max_streams == 0)
		config->max_streams = VSOCK_DEFAULT_STREAMS;
	if (config->buffer_size == 0)
		config->buffer_size = VSOCK_DEFAULT_BUFFER;
	config->buffer_size = (config->buffer_size + PAGE - 1) / PAGE * PAGE;
	vsock->pump.run = vsock_pump_run;
	vsock->ended.run = run_ended;
	vsock->next_port = FIRST_PORT;
	TAILQ_INIT(&vsock->owing);
	TAILQ_INIT(&vsock->reading);
	for (unsigned i = 0; i < MAX_BINDINGS; i++)
		vsock->bindings[i].fd = -EBADF;
	for (unsigned i = 0; i < MAX_LISTENERS; i++)
		vsock->listeners[i] = (struct listener){ .vsock = vsock, .fd = -EBADF };
}

int virtio_vsock_create(const struct virtio_vsock_config *config, struct virtio_device **out)
{
	struct vsock *vsock = calloc(1, sizeof *vsock);
	int r;

	if (!vsock)
		return -ENOMEM;
	vsock->config = *config;
	set_defaults(vsock);
	virtio_device_init(&vsock->device, &type);
	r = allocate(vsock);
	if (r < 0) {
		virtio_device_destroy(&vsock->device);
		return r;
	}
	memcpy(vsock->device.config, &config->guest_cid, sizeof config->guest_cid);
	vsock->device.config_size = sizeof config->guest_cid;
	*out = &vsock->device;
	return 0;
}

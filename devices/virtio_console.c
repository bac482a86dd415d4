/*
 * The console. Output is written straight from the guest's buffers, one chain at a time: while the
 * reader is slow the chain stays taken and the guest's console waits, so nothing is copied and
 * nothing piles up. When the reader is gone output is dropped, so that the guest can go on.
 */
#include "devices/virtio_console.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/hostfd.h"
#include "devices/io.h"

#include <linux/virtio_ids.h>
#include <poll.h>

enum { RX_QUEUE, TX_QUEUE, QUEUE_SIZE = 32, SEGMENTS = 16, COPY_SIZE = 4096, INPUT_SIZE = 256 };

struct console {
	struct virtio_device device; /* first: the transport gives it back */
	struct virtio_console_config config;
	struct io_op output, input;
	enum hostfd_kind output_kind;
	bool is_output_gone, is_input_ended;
	bool has_chain; /* tx_chain is being written */
	struct chain tx_chain, rx_chain;
	uint8_t copy[COPY_SIZE]; /* for descriptors that only the loop may write */
	unsigned input_start, input_size;
	uint8_t typed[INPUT_SIZE];
};

static struct console *console_of(struct virtio_device *device)
{
	return (struct console *)(void *)device;
}

/* ---- output ---- */

static void write_chains(struct console *console);

static void wrote(struct console *console, long result)
{
	if (result > 0)
		console->tx_chain.read_position += (size_t)result;
	else if (result < 0 && result != -EAGAIN)
		console->is_output_gone = true;
	write_chains(console);
}

static void output_done(struct io_op *op, int result)
{
	wrote(container_of(op, struct console, output), result);
}

static void output_ready(struct io_op *op, int result)
{
	wrote(container_of(op, struct console, output), result < 0 ? result : 0);
}

/* True: the chain is written. False: the loop goes on with it. */
static bool write_chain(struct console *console)
{
	struct io *io = console->device.io;
	struct chain *chain = &console->tx_chain;
	struct iovec segments[SEGMENTS];
	size_t covered;

	while (!console->is_output_gone && chain_readable(chain) > 0) {
		unsigned count =
		    chain_peek_readable(chain, chain_readable(chain), segments, SEGMENTS, &covered);
		long n = hostfd_try_writev(console->config.output_fd, &console->output_kind,
					   segments, count);

		if (n > 0) {
			chain->read_position += (size_t)n;
		} else if (n == -EAGAIN || n == 0) {
			io_poll(io, &console->output, console->config.output_fd, POLLOUT,
				output_ready);
			return false;
		} else if (n == -EOPNOTSUPP) {
			size_t position = chain->read_position;

			covered = chain_read(chain, console->copy, sizeof console->copy);
			chain->read_position = position; /* until it is written */
			io_write(io, &console->output, console->config.output_fd, console->copy,
				 covered, output_done);
			return false;
		} else {
			console->is_output_gone = true;
		}
	}
	return true;
}

static void write_chains(struct console *console)
{
	struct virtio_device *device = &console->device;
	unsigned written = 0;

	if (io_is_busy(&console->output))
		return;
	while (written < QUEUE_SIZE) {
		if (!console->has_chain && !virtio_pop(device, TX_QUEUE, &console->tx_chain))
			break;
		console->has_chain = true;
		if (!write_chain(console))
			break;
		console->has_chain = false;
		virtqueue_push_head(&device->queues[TX_QUEUE], console->tx_chain.head, 0);
		written++;
	}
	if (written == QUEUE_SIZE)
		virtio_again(device, TX_QUEUE);
	virtio_complete(device, TX_QUEUE);
}

/* ---- input ---- */

static void read_input(struct console *console);

/* What was typed goes to the guest as far as it has buffers; true: all of it. */
static bool deliver(struct console *console)
{
	struct virtio_device *device = &console->device;

	while (console->input_size > 0 && virtio_pop(device, RX_QUEUE, &console->rx_chain)) {
		size_t n = chain_write(&console->rx_chain, console->typed + console->input_start,
				       console->input_size);

		virtqueue_push(&device->queues[RX_QUEUE], &console->rx_chain);
		console->input_start += (unsigned)n;
		console->input_size -= (unsigned)n;
	}
	virtio_complete(device, RX_QUEUE);
	return console->input_size == 0;
}

static void input_done(struct io_op *op, int result)
{
	struct console *console = container_of(op, struct console, input);

	if (result <= 0) {
		console->is_input_ended = true;
		return;
	}
	console->input_start = 0;
	console->input_size = (unsigned)result;
	read_input(console);
}

static void read_input(struct console *console)
{
	if (console->config.input_fd < 0 || console->is_input_ended ||
	    io_is_busy(&console->input) || !deliver(console))
		return;
	io_read(console->device.io, &console->input, console->config.input_fd, console->typed,
		sizeof console->typed, input_done);
}

/* ---- life ---- */

static void notify(struct virtio_device *device, unsigned queue)
{
	struct console *console = console_of(device);

	if (queue == TX_QUEUE)
		write_chains(console);
	else
		read_input(console);
}

static void quiesce(struct virtio_device *device)
{
	struct console *console = console_of(device);

	(void)io_cancel_wait(&console->output);
	(void)io_cancel_wait(&console->input);
	console->has_chain = false;
	console->input_size = 0;
}

static void destroy(struct virtio_device *device)
{
	free(console_of(device));
}

static const struct virtio_type type = {
	.name = "virtio-console",
	.id = VIRTIO_ID_CONSOLE,
	.queue_count = 2,
	.queue_size = QUEUE_SIZE,
	.notify = notify,
	.quiesce = quiesce,
	.destroy = destroy,
};

int virtio_console_create(const struct virtio_console_config *config, struct virtio_device **out)
{
	struct console *console = calloc(1, sizeof *console);

	if (!console)
		return -ENOMEM;
	virtio_device_init(&console->device, &type);
	console->config = *config;
	console->output_kind = hostfd_kind(config->output_fd);
	*out = &console->device;
	return 0;
}

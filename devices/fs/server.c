/*
 * Shares and their queues. One thread and one ring serve all of them: a kick is a completion, the
 * chains are popped, most are answered at once, and at the end of the turn the guest gets one
 * interrupt for the batch, straight from here into KVM's irqfd. The VMM takes no part.
 */
#include "devices/fs/server.h"
#include "base/container_of.h"
#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/fs/channel.h"
#include "devices/fs/confine.h"
#include "devices/fs/fs.h"
#include "devices/fs/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
	CALLS_PER_SHARE = FS_MAX_WAITING + 256,
	/* of these only for the first queue, whose requests are what ends waiting */
	CALLS_FOR_FIRST = 16,
	CHAINS_PER_TURN = 64,
};

struct server;
struct share;

struct queue {
	struct io_op kick; /* first */
	struct share *share;
	int kick_fd;
	struct virtqueue ring;
	struct fs_queue_statistics *statistics;
};

struct call {
	struct fs_call call; /* first */
	struct queue *queue;
	struct call *next;
};

struct share {
	struct server *server;
	struct fs_config config;
	char file_name[FS_FILE_NAME_SIZE];
	struct fs *fs;
	bool active, stopping, starved; /* starved: no call was free for a chain that waited */
	int irq_fd;
	unsigned queue_count, calls_in_use;
	struct queue queues[FS_MAX_QUEUES];
	struct call *free_calls;
	struct io_deferred turn_end;
};

struct server {
	int socket, self_fd;
	struct io *io;
	struct io_op readable;
	struct fs_memory memory;
	struct fs_statistics *statistics; /* shared with the VMM */
	unsigned share_count;
	struct share shares[FS_MAX_SHARES];
	struct log_limit limit;
};

static uint32_t index_of(const struct share *share)
{
	return (uint32_t)(share - share->server->shares);
}

static void say(const struct share *share, enum fs_message_kind kind)
{
	struct fs_message message = { .kind = kind, .share = index_of(share) };

	(void)fs_message_send(share->server->socket, &message, NULL, 0); /* gone: its end says so */
}

/* ---- statistics: this thread is the only one that writes ---- */

/* NOLINTNEXTLINE(readability-non-const-parameter): the counter is written */
static void count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

static void show_indices(const struct queue *queue)
{
	__atomic_store_n(&queue->statistics->next_avail, queue->ring.next_avail, __ATOMIC_RELAXED);
	__atomic_store_n(&queue->statistics->next_used, queue->ring.next_used, __ATOMIC_RELAXED);
}

/* ---- requests ---- */

static struct call *new_call(const struct queue *queue)
{
	struct share *share = queue->share;
	unsigned most = CALLS_PER_SHARE - (queue == share->queues ? 0 : CALLS_FOR_FIRST);
	struct call *call = share->free_calls;

	if (share->calls_in_use >= most)
		return NULL;
	if (call)
		share->free_calls = call->next;
	else
		call = calloc(1, sizeof *call);
	share->calls_in_use += call != NULL;
	return call;
}

static void free_call(struct share *share, struct call *call)
{
	call->next = share->free_calls;
	share->free_calls = call;
	share->calls_in_use--;
}

/* What was pushed is the driver's. True: it wants to be interrupted. */
static bool publish(struct queue *queue)
{
	uint16_t pushed = (uint16_t)(queue->ring.next_used - queue->ring.shown_used);
	struct virtio_queue_stats *counts = &queue->statistics->counts;
	bool wanted;

	if (pushed == 0)
		return false;
	count(&counts->chains, pushed);
	show_indices(queue); /* before the driver knows */
	wanted = virtqueue_publish(&queue->ring);
	count(wanted ? &counts->interrupts : &counts->unwanted, 1);
	return wanted;
}

static void end_turn(struct io_deferred *deferred)
{
	struct share *share = container_of(deferred, struct share, turn_end);
	bool wanted = false;

	for (unsigned i = 0; share->active && i < share->queue_count; i++)
		if (share->queues[i].ring.size > 0)
			wanted |= publish(&share->queues[i]);
	if (wanted)
		(void)sys_eventfd_signal(share->irq_fd);
}

static void give_back(struct share *share, struct call *call)
{
	struct virtio_queue_stats *counts = &call->queue->statistics->counts;

	count(&counts->to_guest, call->call.to_guest);
	count(&counts->from_guest, call->call.from_guest);
	virtqueue_push(&call->queue->ring, &call->call.chain);
	io_defer(share->server->io, &share->turn_end);
	free_call(share, call);
}

static void stop_if_done(struct share *share);

static void answered(struct fs_call *fs_call)
{
	struct call *call = (struct call *)(void *)fs_call;
	struct share *share = call->queue->share;

	give_back(share, call);
	if (share->starved && !share->stopping) {
		share->starved = false;
		for (unsigned i = 0; i < share->queue_count; i++)
			(void)sys_eventfd_signal(share->queues[i].kick_fd);
	}
	stop_if_done(share);
}

static bool pop(struct queue *queue, struct chain *chain)
{
	int r = virtqueue_pop(&queue->ring, chain);

	if (r == 0 && virtqueue_enable_kicks(&queue->ring))
		r = virtqueue_pop(&queue->ring, chain);
	if (r < 0) {
		log_guest(&queue->share->server->limit, LOG_LEVEL_WARNING,
			  "share %u: the guest broke the rules (bad descriptors)",
			  index_of(queue->share));
		say(queue->share, FS_MESSAGE_BROKEN);
	}
	return r == 1;
}

static void serve(struct queue *queue)
{
	struct share *share = queue->share;

	for (int i = 0; i < CHAINS_PER_TURN; i++) {
		struct call *call = new_call(queue);

		if (!call) {
			share->starved = true; /* goes on in answered() */
			return;
		}
		if (!pop(queue, &call->call.chain)) {
			free_call(share, call);
			return;
		}
		call->queue = queue;
		call->call.done = answered;
		if (fs_serve(share->fs, &call->call))
			give_back(share, call);
	}
	(void)sys_eventfd_signal(queue->kick_fd); /* its share for now: the others first */
}

static void kicked(struct io_op *op, int result)
{
	struct queue *queue = (struct queue *)(void *)op;

	if (result < 0 || !queue->share->active || queue->ring.size == 0 || queue->ring.broken)
		return;
	count(&queue->statistics->counts.kicks, 1);
	virtqueue_disable_kicks(&queue->ring);
	serve(queue);
	show_indices(queue);
}

/* ---- starting and stopping ---- */

static void close_queues(struct share *share)
{
	for (unsigned i = 0; i < share->queue_count; i++)
		close_fd(&share->queues[i].kick_fd);
	share->queue_count = 0;
	close_fd(&share->irq_fd);
}

static void stop_if_done(struct share *share)
{
	if (!share->stopping || fs_pending(share->fs) > 0)
		return;
	io_defer_cancel(share->server->io, &share->turn_end);
	share->active = share->stopping = share->starved = false;
	close_queues(share);
	fs_reset(share->fs);
	say(share, FS_MESSAGE_STOPPED);
}

static void stop(struct share *share)
{
	for (unsigned i = 0; i < share->queue_count; i++)
		(void)io_cancel_wait(&share->queues[i].kick);
	share->stopping = true;
	fs_interrupt_all(share->fs);
	stop_if_done(share);
}

static int start(struct share *share, const struct fs_message *message, int *fds)
{
	int r = 0;

	if (share->active || !share->server->memory.is_there)
		return -EPROTO;
	share->irq_fd = take_fd(&fds[0]);
	share->queue_count = message->body.start.queue_count;
	for (unsigned i = 0; i < share->queue_count; i++) {
		struct queue *queue = &share->queues[i];
		const struct virtqueue_layout *layout = &message->body.start.queues[i];

		*queue = (struct queue){
			.share = share,
			.kick_fd = take_fd(&fds[i + 1]),
			.statistics = &share->server->statistics->queues[index_of(share)][i],
		};
		if (r == 0 && layout->ready)
			r = virtqueue_open(&queue->ring, &share->server->memory.gmem, layout,
					   message->body.start.event_index);
	}
	if (r < 0) {
		close_queues(share);
		return r;
	}
	share->active = true;
	for (unsigned i = 0; i < share->queue_count; i++) {
		show_indices(&share->queues[i]);
		io_watch(share->server->io, &share->queues[i].kick, share->queues[i].kick_fd,
			 kicked);
	}
	return 0;
}

/* ---- messages ---- */

static int take_memory(struct server *server, const struct fs_message *message, const int *fds)
{
	void *statistics;
	int r = sys_mmap(NULL, sizeof *server->statistics, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fds[1], 0, &statistics);

	if (r < 0)
		return r;
	server->statistics = statistics;
	return fs_memory_take(&server->memory, message, fds[0]);
}

static int take_more(struct server *server, const struct fs_message *message, int fd)
{
	int r = fs_memory_take_more(&server->memory, message, fd);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < server->share_count; i++)
		fs_allow_nodes(server->shares[i].fs, fs_memory_nodes(&server->memory));
	say(&server->shares[0], FS_MESSAGE_GROWN);
	return 0;
}

static int add_share(struct server *server, const struct fs_message *message, int *fd)
{
	struct share *share;

	if (server->memory.is_there || server->share_count == FS_MAX_SHARES)
		return -EPROTO;
	share = &server->shares[server->share_count++];
	*share = (struct share){ .server = server, .irq_fd = -EBADF };
	share->turn_end.run = end_turn;
	memcpy(share->file_name, message->body.share.file_name, sizeof share->file_name);
	share->config = (struct fs_config){
		.io = server->io,
		.root_fd = take_fd(fd),
		.self_fd = server->self_fd,
		.file_name = share->file_name,
		.read_only = message->body.share.read_only,
		.squash = geteuid() != 0,
		.cache = (enum fs_cache)message->body.share.cache,
		.notify = message->body.share.notify,
	};
	return 0;
}

/* All shares are known, and guest memory is: privileges go, and then the guest may come. */
static int open_shares(struct server *server, struct error *err)
{
	bool writes = false;
	int r;

	for (unsigned i = 0; i < server->share_count; i++)
		writes |= !server->shares[i].config.read_only;
	r = fs_confine(writes, err);
	for (unsigned i = 0; r == 0 && i < server->share_count; i++) {
		struct share *share = &server->shares[i];

		share->config.max_nodes = fs_memory_nodes(&server->memory);
		r = fs_create(&share->config, &share->fs);
		if (r == -EMFILE && share->config.notify)
			return error_set(err, r,
					 "share %u: notify: this user has as many inotify "
					 "instances as fs.inotify.max_user_instances allows",
					 i);
		if (r < 0)
			return error_set(err, r, "share %u: %s", i, sys_text(r));
	}
	return r;
}

static int handle(struct server *server, const struct fs_message *message, int *fds,
		  struct error *err)
{
	struct share *share = &server->shares[message->share];
	int r = -EPROTO;

	switch ((enum fs_message_kind)message->kind) {
	case FS_MESSAGE_SHARE:
		r = add_share(server, message, &fds[0]);
		break;
	case FS_MESSAGE_MEMORY:
		r = server->memory.is_there ? -EPROTO : take_memory(server, message, fds);
		if (r == 0)
			return open_shares(server, err);
		break;
	case FS_MESSAGE_START:
		if (message->share < server->share_count)
			r = start(share, message, fds);
		break;
	case FS_MESSAGE_STOP:
		r = 0;
		if (message->share >= server->share_count)
			r = -EPROTO;
		else if (share->active && !share->stopping)
			stop(share);
		else if (!share->active)
			say(share, FS_MESSAGE_STOPPED);
		break;
	case FS_MESSAGE_MORE:
		r = take_more(server, message, fds[0]);
		break;
	case FS_MESSAGE_STOPPED:
	case FS_MESSAGE_BROKEN:
	case FS_MESSAGE_GROWN:
	case FS_MESSAGE_KINDS:
		break;
	}
	return r < 0 ? error_set(err, r, "message %u: %s", message->kind, sys_text(r)) : 0;
}

/* 1: the other end is gone. 0: nothing more now. */
static int receive_all(struct server *server, struct error *err)
{
	int fds[PACKET_MAX_FDS], r;
	struct fs_message message;
	size_t count;

	while ((r = fs_message_receive(server->socket, false, &message, fds, &count)) == 1) {
		r = handle(server, &message, fds, err);
		for (size_t i = 0; i < count; i++)
			close_fd(&fds[i]);
		if (r < 0)
			return r;
	}
	if (r == 0)
		return 1;
	return r == -EAGAIN ? 0 : error_set(err, r, "its socket: %s", sys_text(r));
}

static void on_readable(struct io_op *op, int result)
{
	struct server *server = container_of(op, struct server, readable);
	struct error err = { 0 };
	int r = receive_all(server, &err);

	(void)result;
	if (r == 0) {
		io_poll(server->io, &server->readable, server->socket, POLLIN, on_readable);
		return;
	}
	if (r < 0)
		log_error("%s", err.text);
	io_stop(server->io);
}

int fs_server_run(int socket, struct error *err)
{
	static struct server the_server; /* large; one a process */
	struct server *server = &the_server;
	int r;

	server->socket = socket;
	server->self_fd = sys_open(AT_FDCWD, "/proc/self/fd", O_PATH | O_DIRECTORY, 0);
	if (server->self_fd < 0)
		return error_set(err, server->self_fd, "open /proc/self/fd: %s",
				 sys_text(server->self_fd));
	r = (int)SYS(fchdir, server->self_fd);
	if (r < 0)
		return error_set(err, r, "/proc/self/fd: %s", sys_text(r));
	r = io_create(&(struct io_config){ .backend = IO_BACKEND_AUTO }, &server->io);
	if (r < 0)
		return error_set(err, r, "event loop: %s", sys_text(r));
	io_poll(server->io, &server->readable, socket, POLLIN, on_readable);
	r = io_run(server->io);
	/* no unwinding: the end of the process releases everything */
	return r < 0 ? error_set(err, r, "event loop: %s", sys_text(r)) : 0;
}

/*
 * The engine on epoll, for hosts that forbid io_uring. Streams are tried only after epoll called
 * them ready, and in ways that do not sleep (hostfd.h). Disk requests are done at once, in the
 * loop: slower, and right. Descriptors that epoll refuses (EPERM: regular files) are always ready.
 *
 * A descriptor stays registered only as long as an operation waits for it: once its owner closes
 * it, a copy in another process could otherwise keep the registration alive with no way to end it.
 */
#include "base/check.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/hostfd.h"
#include "devices/io_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { MAX_FILES = 4096, EVENTS_PER_WAIT = 64 };

static int open_epoll(struct io *io, const struct io_config *config)
{
	int fd = (int)SYS(epoll_create1, EPOLL_CLOEXEC);

	(void)config;
	if (fd < 0)
		return fd;
	io->files = calloc(MAX_FILES, sizeof *io->files); /* touched only where used */
	if (!io->files) {
		(void)SYS(close, fd);
		return -ENOMEM;
	}
	io->epoll_fd = fd;
	return 0;
}

static void close_epoll(struct io *io)
{
	(void)SYS(close, io->epoll_fd);
	free(io->files);
}

static uint32_t wanted(const struct io_op *op)
{
	switch ((enum io_kind)op->kind) {
	case IO_READ:
	case IO_READV:
	case IO_ACCEPT:
	case IO_WATCH:
		return EPOLLIN;
	case IO_WRITE:
	case IO_WRITEV:
		return EPOLLOUT;
	case IO_POLL:
		return op->mode;
	case IO_READV_AT:
	case IO_WRITEV_AT:
	case IO_SYNC:
	case IO_FALLOCATE:
	case IO_TIMER:
		break;
	}
	return 0;
}

static bool is_known(int fd)
{
	return fd >= 0 && fd < MAX_FILES;
}

static struct io_file *file_of(struct io *io, int fd)
{
	struct io_file *file = &io->files[fd];

	CHECK(is_known(fd));
	if (!file->waiting.next)
		io_link_init(&file->waiting);
	return file;
}

/* Tells epoll what the operations that wait for fd want. */
static int registration(struct io *io, int fd)
{
	struct io_file *file = file_of(io, fd);
	struct epoll_event event = { .data.fd = fd };
	int verb, r;

	for (struct io_link *at = file->waiting.next; at != &file->waiting; at = at->next)
		event.events |= wanted(io_op_of(at));
	if (event.events == file->registered)
		return 0;
	if (event.events == 0)
		verb = EPOLL_CTL_DEL;
	else
		verb = file->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	r = (int)SYS(epoll_ctl, io->epoll_fd, verb, fd, &event);
	if (verb == EPOLL_CTL_DEL || r == 0)
		file->registered = event.events;
	return verb == EPOLL_CTL_DEL ? 0 : r;
}

/* The operation leaves its list. A watch that goes on keeps its registration until it is started
 * again, in the same turn. */
static void finish(struct io *io, struct io_op *op, int result)
{
	bool again = op->kind == IO_WATCH && !op->cancelled && result >= 0;

	io_link_remove(&op->link);
	if (!again && wanted(op) != 0)
		(void)registration(io, op->fd);
	io_finish(op, result);
}

static long attempt(const struct io_op *op, uint32_t events)
{
	uint32_t always = EPOLLERR | EPOLLHUP;
	long r;

	switch ((enum io_kind)op->kind) {
	case IO_POLL:
		return (long)(events & (op->mode | always));
	case IO_READ:
		return hostfd_ready_read(op->fd, op->single.iov_base, op->single.iov_len);
	case IO_WRITE:
		return hostfd_ready_write(op->fd, op->single.iov_base, op->single.iov_len);
	case IO_READV:
		return hostfd_ready_readv(op->fd, op->segments, op->count);
	case IO_WRITEV:
		return hostfd_ready_writev(op->fd, op->segments, op->count);
	case IO_WATCH:
		return SYS_RETRY(read, op->fd, op->single.iov_base, op->single.iov_len);
	case IO_ACCEPT:
		r = SYS_RETRY(accept4, op->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		return r == -ECONNABORTED ? -EAGAIN : r;
	case IO_READV_AT:
		return SYS_RETRY(preadv, op->fd, op->segments, (int)op->count, (off_t)op->offset);
	case IO_WRITEV_AT:
		return SYS_RETRY(pwritev, op->fd, op->segments, (int)op->count, (off_t)op->offset);
	case IO_SYNC:
		return SYS_RETRY(fdatasync, op->fd);
	case IO_FALLOCATE:
		return SYS_RETRY(fallocate, op->fd, (int)op->mode, (off_t)op->offset,
				 (off_t)op->length);
	case IO_TIMER:
		break;
	}
	return 0;
}

static void start_timer(struct io *io, struct io_op *op)
{
	struct io_link *at = io->timers.next;

	while (at != &io->timers && io_op_of(at)->offset <= op->offset)
		at = at->next;
	io_link_insert(at, &op->link);
}

static void start(struct io *io, struct io_op *op)
{
	struct io_file *file;
	int r;

	if (op->kind == IO_TIMER) {
		start_timer(io, op);
		return;
	}
	if (wanted(op) == 0 && op->kind != IO_POLL) {
		io_finish(op, (int)attempt(op, 0));
		return;
	}
	if (!is_known(op->fd)) {
		io_finish(op, op->fd < 0 ? -EBADF : -EMFILE);
		return;
	}
	file = file_of(io, op->fd);
	io_link_insert(&file->waiting, &op->link);
	r = registration(io, op->fd);
	if (r == 0)
		return;
	io_link_remove(&op->link);
	if (r == -EPERM)
		io_link_insert(&io->again, &op->link);
	else
		io_finish(op, r);
}

static void cancel(struct io *io, struct io_op *op)
{
	finish(io, op, -ECANCELED);
}

static void serve_ready(struct io *io, int fd, uint32_t events)
{
	struct io_file *file = file_of(io, fd);
	struct io_link *at = file->waiting.next;

	if (at == &file->waiting) { /* a watch was not started again after all */
		(void)registration(io, fd);
		return;
	}
	while (at != &file->waiting) {
		struct io_op *op = io_op_of(at);
		long result;

		at = at->next;
		if (!(events & (wanted(op) | EPOLLERR | EPOLLHUP)))
			continue;
		result = attempt(op, events);
		if (result != -EAGAIN)
			finish(io, op, (int)result);
	}
}

static void serve_again(struct io *io)
{
	while (!io_link_is_empty(&io->again)) {
		struct io_op *op = io_op_of(io->again.next);

		io_link_remove(&op->link);
		io_finish(op, (int)attempt(op, EPOLLIN | EPOLLOUT));
	}
}

static void serve_timers(struct io *io)
{
	uint64_t now = io_link_is_empty(&io->timers) ? 0 : sys_monotonic_ns();

	while (!io_link_is_empty(&io->timers) && io_op_of(io->timers.next)->offset <= now) {
		struct io_op *op = io_op_of(io->timers.next);

		io_link_remove(&op->link);
		io_finish(op, 0);
	}
}

/* The least of the caller's limit and the nearest timer. */
static int time_left_ms(const struct io *io, int limit_ms)
{
	uint64_t now, deadline, ms;

	if (io->ready_count > 0 || !io_link_is_empty(&io->again))
		return 0;
	if (io_link_is_empty(&io->timers))
		return limit_ms;
	now = sys_monotonic_ns();
	deadline = io_op_of(io->timers.next)->offset;
	ms = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
	if (limit_ms >= 0 && ms > (uint64_t)limit_ms)
		return limit_ms;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static int wait_epoll(struct io *io, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_WAIT];
	long n =
	    SYS(epoll_wait, io->epoll_fd, events, EVENTS_PER_WAIT, time_left_ms(io, timeout_ms));

	if (n < 0 && !sys_is_interrupted(n))
		return (int)n;
	for (long i = 0; i < n; i++)
		serve_ready(io, events[i].data.fd, events[i].events);
	serve_again(io);
	serve_timers(io);
	return 0;
}

const struct io_engine io_engine_epoll = {
	.name = "epoll",
	.open = open_epoll,
	.close = close_epoll,
	.start = start,
	.cancel = cancel,
	.wait = wait_epoll,
};

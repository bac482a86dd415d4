/*
 * The engine on io_uring. Submissions collect in the ring and go to the kernel together with the
 * wait for completions, one io_uring_enter a turn. user_data is the operation; 0 marks the
 * submissions nobody waits for (cancellations).
 *
 * A read on a descriptor with O_NONBLOCK answers -EAGAIN instead of waiting. Then the operation
 * waits for readiness (stage 1) and tries again.
 */
#include "base/check.h"
#include "devices/io_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { DEFAULT_ENTRIES = 128, TRIES = 0, POLLS = 1 };

/* The best first. Completions need no interrupt of this thread, for it enters the kernel by itself
 * soon (Linux 5.19); a thread that is the only one handles them when it waits (Linux 6.1). */
static int set_up(struct io *io, const struct io_config *config)
{
	unsigned entries = config->entries ? config->entries : DEFAULT_ENTRIES;
	int r = -EINVAL;

	if (config->one_thread)
		r = io_uring_queue_init(entries, &io->ring,
					IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (r == -EINVAL)
		r = io_uring_queue_init(entries, &io->ring, IORING_SETUP_COOP_TASKRUN);
	if (r == -EINVAL)
		r = io_uring_queue_init(entries, &io->ring, 0);
	return r;
}

static int open_ring(struct io *io, const struct io_config *config)
{
	/* without the first two completions could be lost or waits not be timed; the third tells
	 * Linux 5.13, which polls more than once */
	const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS;
	int r = set_up(io, config);

	if (r < 0)
		return r;
	if ((io->ring.features & needed) != needed) {
		io_uring_queue_exit(&io->ring);
		return -EOPNOTSUPP;
	}
	if (config->one_thread) /* the ring's own descriptor is looked up once, too */
		(void)io_uring_register_ring_fd(&io->ring);
	return 0;
}

static void close_ring(struct io *io)
{
	io_uring_queue_exit(&io->ring);
}

/* Finished, or to be tried again. */
static void complete(struct io *io, struct io_op *op, int result)
{
	bool is_stream = op->kind == IO_READ || op->kind == IO_WRITE || op->kind == IO_READV ||
			 op->kind == IO_WRITEV || op->kind == IO_ACCEPT;

	if (!op->cancelled &&
	    (result == -EINTR ||
	     (is_stream && (result == -EAGAIN || (op->stage == POLLS && result >= 0))))) {
		op->stage = result == -EAGAIN ? POLLS : TRIES;
		io_link_insert(&io->again, &op->link);
		return;
	}
	if (result == -EINTR && op->cancelled)
		result = -ECANCELED; /* a worker thread was interrupted in its sleep */
	if (op->kind == IO_TIMER && result == -ETIME)
		result = 0;
	io_finish(op, result);
}

/*
 * A watch is a poll that stays in the kernel and completes at each kick; the eventfd is not read,
 * so that a kick costs no system call and no submission. Kicks before the owner has heard of the
 * last are one. The kernel may end the poll when the ring is full, and that counts as a kick: the
 * next start arms it again.
 */
static void watched(struct io_op *op, int result, bool more)
{
	op->armed = more;
	if (op->cancelled) {
		if (!more && op->state == IO_PENDING)
			io_finish(op, -ECANCELED);
		return;
	}
	if (op->state == IO_PENDING)
		io_finish(op, result >= 0 || result == -ECANCELED ? 1 : result);
}

static void reap(struct io *io)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&io->ring, &cqe) == 0) {
		struct io_op *op = io_uring_cqe_get_data(cqe);
		bool more = cqe->flags & IORING_CQE_F_MORE;
		int result = cqe->res;

		io_uring_cqe_seen(&io->ring, cqe);
		if (op && op->kind == IO_WATCH)
			watched(op, result, more);
		else if (op)
			complete(io, op, result);
	}
}

static struct io_uring_sqe *next_sqe(struct io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

	while (!sqe) { /* full: hand over what is there */
		int r = io_uring_submit(&io->ring);

		CHECK(r >= 0 || r == -EINTR || r == -EBUSY || r == -EAGAIN);
		if (r < 0)
			reap(io); /* the kernel wants room for completions first */
		sqe = io_uring_get_sqe(&io->ring);
	}
	return sqe;
}

static void prepare(struct io_uring_sqe *sqe, struct io_op *op)
{
	const __u64 here = (__u64)-1; /* the file's own position */

	switch ((enum io_kind)op->kind) {
	case IO_READV_AT:
		io_uring_prep_readv(sqe, op->fd, op->segments, op->count, op->offset);
		break;
	case IO_WRITEV_AT:
		io_uring_prep_writev(sqe, op->fd, op->segments, op->count, op->offset);
		break;
	case IO_SYNC:
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
		break;
	case IO_FALLOCATE:
		io_uring_prep_fallocate(sqe, op->fd, (int)op->mode, (off_t)op->offset,
					(off_t)op->length);
		break;
	case IO_WATCH:
		io_uring_prep_poll_multishot(sqe, op->fd, POLLIN);
		break;
	case IO_READ:
		io_uring_prep_read(sqe, op->fd, op->single.iov_base, (unsigned)op->single.iov_len,
				   here);
		break;
	case IO_WRITE:
		io_uring_prep_write(sqe, op->fd, op->single.iov_base, (unsigned)op->single.iov_len,
				    here);
		break;
	case IO_READV:
		io_uring_prep_readv(sqe, op->fd, op->segments, op->count, here);
		break;
	case IO_WRITEV:
		io_uring_prep_writev(sqe, op->fd, op->segments, op->count, here);
		break;
	case IO_POLL:
		io_uring_prep_poll_add(sqe, op->fd, op->mode);
		break;
	case IO_ACCEPT:
		io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		break;
	case IO_TIMER:
		/* struct __kernel_timespec by layout */
		io_uring_prep_timeout(sqe, (void *)&op->argument.time, 0, 0);
		break;
	}
}

static bool waits_to_write(const struct io_op *op)
{
	return op->kind == IO_WRITE || op->kind == IO_WRITEV;
}

static bool is_pinned(const struct io *io, int fd)
{
	return fd >= 0 && fd < IO_MAX_PINS && io->pins[fd];
}

static void submit(struct io *io, struct io_op *op)
{
	struct io_uring_sqe *sqe;

	if (op->armed) /* a watch that goes on */
		return;
	sqe = next_sqe(io);
	if (op->stage == POLLS)
		io_uring_prep_poll_add(sqe, op->fd, waits_to_write(op) ? POLLOUT : POLLIN);
	else
		prepare(sqe, op);
	if (is_pinned(io, op->fd)) /* its place in the table is its number */
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, op);
}

static void pin(struct io *io, int fd, bool on)
{
	int entry = on ? fd : -1;

	if (fd < 0 || fd >= IO_MAX_PINS || io->pins[fd] == on)
		return;
	if (!io->has_table && io_uring_register_files_sparse(&io->ring, IO_MAX_PINS) < 0)
		return;
	io->has_table = true;
	if (io_uring_register_files_update(&io->ring, (unsigned)fd, &entry, 1) == 1)
		io->pins[fd] = on;
}

static void cancel(struct io *io, struct io_op *op)
{
	struct io_uring_sqe *sqe = next_sqe(io);

	io_uring_prep_cancel(sqe, op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

/* True: something is finished already. */
static bool submit_again(struct io *io)
{
	bool finished = false;

	while (!io_link_is_empty(&io->again)) {
		struct io_op *op = io_op_of(io->again.next);

		io_link_remove(&op->link);
		if (op->cancelled) {
			io_finish(op, -ECANCELED);
			finished = true;
		} else {
			submit(io, op);
		}
	}
	return finished;
}

static int wait_ring(struct io *io, int timeout_ms)
{
	struct __kernel_timespec limit = { .tv_sec = timeout_ms / 1000,
					   .tv_nsec = timeout_ms % 1000 * 1000000LL };
	struct io_uring_cqe *cqe;
	int r;

	if (submit_again(io))
		timeout_ms = 0;
	if (timeout_ms < 0)
		r = io_uring_submit_and_wait(&io->ring, 1);
	else if (timeout_ms == 0)
		r = io_uring_submit_and_get_events(&io->ring);
	else
		r = io_uring_submit_and_wait_timeout(&io->ring, &cqe, 1, &limit, NULL);
	reap(io);
	if (r == -EINTR || r == -ETIME || r == -EBUSY || r == -EAGAIN)
		return 0;
	return r < 0 ? r : 0;
}

const struct io_engine io_engine_ring = {
	.name = "io_uring",
	.has_short_timers = true,
	.open = open_ring,
	.close = close_ring,
	.start = submit,
	.cancel = cancel,
	.wait = wait_ring,
	.pin = pin,
};

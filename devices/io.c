/*
 * The loop, common to both engines. An operation goes idle -> pending (the engine has it) -> ready
 * (finished, in the ready list) -> idle, and only then is its `done` called, so `done` may start it
 * again. Because finishing and calling are two steps, io_cancel_wait can sleep in the engine for
 * one operation, while others that finish meanwhile wait in the ready list: no callback ever runs
 * inside another.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/io_private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

void io_finish(struct io_op *op, int result)
{
	struct io *io = op->io;

	op->result = result;
	op->state = IO_READY;
	io_link_insert(&io->ready, &op->link);
	io->ready_count++;
}

/* From ready to idle. */
static void settle(struct io_op *op)
{
	io_link_remove(&op->link);
	op->io->ready_count--;
	op->io->busy_count--;
	op->state = IO_IDLE;
}

static void start(struct io *io, struct io_op *op, enum io_kind kind, int fd, io_done *done)
{
	CHECK(op->state == IO_IDLE);
	op->io = io;
	op->kind = (uint8_t)kind;
	op->fd = fd;
	op->done = done;
	op->state = IO_PENDING;
	op->stage = 0;
	op->cancelled = false;
	io_link_init(&op->link);
	io->busy_count++;
	io->engine->start(io, op);
}

/* A watch that is over for its owner, and not yet for the engine: the end is still to come. */
static void end_watch(struct io_op *op)
{
	io_link_remove(&op->link);
	op->io->ready_count--;
	op->state = IO_PENDING;
	op->io->engine->cancel(op->io, op);
}

static void dispatch(struct io_op *op)
{
	int result = op->result;

	if (op->armed && op->cancelled) {
		end_watch(op);
		return;
	}
	settle(op);
	if (op->kind == IO_WATCH) {
		if (op->cancelled)
			result = -ECANCELED;
		else if (result >= 0) { /* armed again before the owner looks, so no kick is lost */
			start(op->io, op, IO_WATCH, op->fd, op->done);
			result = 1;
		}
	}
	op->done(op, result);
}

int io_turn(struct io *io, int timeout_ms)
{
	int r = io->engine->wait(io, io->ready_count > 0 ? 0 : timeout_ms);

	if (r < 0)
		return r;
	/* those that become ready meanwhile wait for the next turn: each gets its share */
	for (unsigned left = io->ready_count; left > 0 && io->ready_count > 0; left--)
		dispatch(io_op_of(io->ready.next));
	while (io->deferred) {
		struct io_deferred *deferred = io->deferred;

		io->deferred = deferred->next;
		deferred->is_queued = false;
		deferred->run(deferred);
	}
	return 0;
}

void io_defer(struct io *io, struct io_deferred *deferred)
{
	if (deferred->is_queued)
		return;
	deferred->is_queued = true;
	deferred->next = io->deferred;
	io->deferred = deferred;
}

void io_defer_cancel(struct io *io, struct io_deferred *deferred)
{
	struct io_deferred **at = &io->deferred;

	if (!deferred->is_queued)
		return;
	while (*at != deferred)
		at = &(*at)->next;
	*at = deferred->next;
	deferred->is_queued = false;
}

/* ---- messages from other threads ---- */

static void run_messages(struct io *io)
{
	struct io_message *message;

	(void)pthread_mutex_lock(&io->lock);
	message = io->first_message;
	io->first_message = NULL;
	io->last_message = &io->first_message;
	(void)pthread_mutex_unlock(&io->lock);
	while (message) {
		struct io_message *next = message->next; /* run may end the message's life */

		message->run(message);
		message = next;
	}
}

static void woken(struct io_op *op, int result)
{
	if (result >= 0)
		run_messages(op->io);
}

int io_post(struct io *io, struct io_message *message)
{
	own_lock *held = own_locked(&io->lock);

	(void)held;
	if (io->stopped)
		return -ESHUTDOWN;
	message->next = NULL;
	*io->last_message = message;
	io->last_message = &message->next;
	return sys_eventfd_signal(io->wake_fd);
}

struct call {
	struct io_message message;
	void (*function)(void *argument);
	void *argument;
	pthread_mutex_t lock;
	pthread_cond_t finished;
	bool is_finished;
};

static void run_call(struct io_message *message)
{
	struct call *call = (struct call *)(void *)message;

	call->function(call->argument);
	(void)pthread_mutex_lock(&call->lock);
	call->is_finished = true;
	(void)pthread_cond_signal(&call->finished);
	(void)pthread_mutex_unlock(&call->lock);
}

int io_call(struct io *io, void (*function)(void *argument), void *argument)
{
	struct call call = { .message.run = run_call,
			     .function = function,
			     .argument = argument,
			     .lock = PTHREAD_MUTEX_INITIALIZER,
			     .finished = PTHREAD_COND_INITIALIZER };
	int r;

	if (!__atomic_load_n(&io->attached, __ATOMIC_ACQUIRE) ||
	    pthread_equal(io->thread, pthread_self())) {
		function(argument);
		return 0;
	}
	r = io_post(io, &call.message);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&call.lock);
	while (!call.is_finished)
		(void)pthread_cond_wait(&call.finished, &call.lock);
	(void)pthread_mutex_unlock(&call.lock);
	(void)pthread_mutex_destroy(&call.lock);
	(void)pthread_cond_destroy(&call.finished);
	return 0;
}

/* ---- life ---- */

static int open_engine(struct io *io, const struct io_config *config)
{
	int r = -ENOSYS;

	io->engine = &io_engine_ring;
	if (config->backend != IO_BACKEND_EPOLL)
		r = io->engine->open(io, config);
	if (r < 0 && config->backend != IO_BACKEND_URING) {
		if (config->backend == IO_BACKEND_AUTO)
			log_info("no io_uring on this host (%s)", sys_text(r));
		io->engine = &io_engine_epoll;
		r = io->engine->open(io, config);
	}
	return r;
}

int io_create(const struct io_config *config, struct io **out)
{
	own_mem struct io *io = calloc(1, sizeof *io);
	int r;

	if (!io)
		return -ENOMEM;
	io_link_init(&io->ready);
	io_link_init(&io->again);
	io_link_init(&io->timers);
	io->last_message = &io->first_message;
	r = (int)SYS(eventfd, 0, EFD_CLOEXEC);
	if (r < 0)
		return r;
	io->wake_fd = r;
	r = open_engine(io, config);
	if (r < 0) {
		close_fd(&io->wake_fd);
		return r;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)pthread_mutex_init(&io->lock, NULL);
	log_info("event loop on %s", io->engine->name);
	*out = take_ptr(io);
	io_watch(*out, &(*out)->wake, (*out)->wake_fd, woken);
	return 0;
}

void io_destroy(struct io *io)
{
	if (!io)
		return;
	(void)io_cancel_wait(&io->wake);
	CHECK(io->busy_count == 0 && !io->deferred);
	io->engine->close(io);
	close_fd(&io->wake_fd);
	(void)pthread_mutex_destroy(&io->lock);
	free(io);
}

const char *io_backend_name(const struct io *io)
{
	return io->engine->name;
}

void io_pin(struct io *io, int fd)
{
	if (io->engine->pin)
		io->engine->pin(io, fd, true);
}

void io_unpin(struct io *io, int fd)
{
	if (io->engine->pin)
		io->engine->pin(io, fd, false);
}

bool io_has_short_timers(const struct io *io)
{
	return io->engine->has_short_timers;
}

unsigned io_busy_count(const struct io *io)
{
	return io->busy_count;
}

int io_attach(struct io *io)
{
	io->thread = pthread_self();
	__atomic_store_n(&io->attached, true, __ATOMIC_RELEASE);
	return 0;
}

int io_run(struct io *io)
{
	int r = 0;

	if (!io->attached)
		r = io_attach(io);
	while (r == 0 && !__atomic_load_n(&io->stopped, __ATOMIC_ACQUIRE))
		r = io_turn(io, -1);
	io_stop(io);
	run_messages(io); /* nobody posts any more, and nobody who did waits for ever */
	return r;
}

void io_stop(struct io *io)
{
	(void)pthread_mutex_lock(&io->lock);
	__atomic_store_n(&io->stopped, true, __ATOMIC_RELEASE);
	(void)pthread_mutex_unlock(&io->lock);
	(void)sys_eventfd_signal(io->wake_fd);
}

/* ---- operations ---- */

void io_readv_at(struct io *io, struct io_op *op, int fd, const struct iovec *segments,
		 unsigned count, uint64_t offset, io_done *done)
{
	op->segments = segments;
	op->count = count;
	op->offset = offset;
	start(io, op, IO_READV_AT, fd, done);
}

void io_writev_at(struct io *io, struct io_op *op, int fd, const struct iovec *segments,
		  unsigned count, uint64_t offset, io_done *done)
{
	op->segments = segments;
	op->count = count;
	op->offset = offset;
	start(io, op, IO_WRITEV_AT, fd, done);
}

void io_fdatasync(struct io *io, struct io_op *op, int fd, io_done *done)
{
	start(io, op, IO_SYNC, fd, done);
}

void io_fallocate(struct io *io, struct io_op *op, int fd, int mode, uint64_t offset,
		  uint64_t length, io_done *done)
{
	op->mode = (uint32_t)mode;
	op->offset = offset;
	op->length = length;
	start(io, op, IO_FALLOCATE, fd, done);
}

void io_read(struct io *io, struct io_op *op, int fd, void *to, size_t size, io_done *done)
{
	op->single = (struct iovec){ .iov_base = to, .iov_len = size };
	start(io, op, IO_READ, fd, done);
}

void io_write(struct io *io, struct io_op *op, int fd, const void *from, size_t size, io_done *done)
{
	op->single = (struct iovec){ .iov_base = (void *)(uintptr_t)from, .iov_len = size };
	start(io, op, IO_WRITE, fd, done);
}

void io_readv(struct io *io, struct io_op *op, int fd, const struct iovec *segments, unsigned count,
	      io_done *done)
{
	op->segments = segments;
	op->count = count;
	start(io, op, IO_READV, fd, done);
}

void io_writev(struct io *io, struct io_op *op, int fd, const struct iovec *segments,
	       unsigned count, io_done *done)
{
	op->segments = segments;
	op->count = count;
	start(io, op, IO_WRITEV, fd, done);
}

void io_poll(struct io *io, struct io_op *op, int fd, short events, io_done *done)
{
	op->mode = (uint32_t)events;
	start(io, op, IO_POLL, fd, done);
}

void io_accept(struct io *io, struct io_op *op, int fd, io_done *done)
{
	start(io, op, IO_ACCEPT, fd, done);
}

void io_watch(struct io *io, struct io_op *op, int fd, io_done *done)
{
	op->single =
	    (struct iovec){ .iov_base = &op->argument.ticks, .iov_len = sizeof op->argument.ticks };
	start(io, op, IO_WATCH, fd, done);
}

void io_timer(struct io *io, struct io_op *op, uint64_t after_ns, io_done *done)
{
	op->argument.time.seconds = (int64_t)(after_ns / 1000000000U);
	op->argument.time.nanoseconds = (long long)(after_ns % 1000000000U);
	op->offset = sys_monotonic_ns() + after_ns; /* the deadline */
	start(io, op, IO_TIMER, -1, done);
}

bool io_is_busy(const struct io_op *op)
{
	return op->state != IO_IDLE;
}

void io_cancel(struct io_op *op)
{
	if (op->state == IO_IDLE || op->cancelled)
		return;
	op->cancelled = true;
	if (op->state == IO_PENDING)
		op->io->engine->cancel(op->io, op);
}

int io_cancel_wait(struct io_op *op)
{
	if (op->state == IO_IDLE)
		return -ECANCELED;
	io_cancel(op);
	if (op->state == IO_READY && op->armed)
		end_watch(op);
	while (op->state == IO_PENDING)
		CHECK(op->io->engine->wait(op->io, -1) == 0);
	settle(op);
	return op->result;
}

#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * The event loop of a device thread: one io_uring, or epoll where the host forbids io_uring. Both
 * serve the same operations with the same results.
 *
 * An operation is a struct io_op inside its owner: nothing is allocated per request. It is idle
 * (zeroed, or after done was called) or busy. A busy operation, and every buffer it was given, must
 * stay where they are until `done` has run or io_cancel_wait has returned. Starting a busy
 * operation is a bug and ends the program.
 *
 * Threads: everything runs on the thread that runs the loop, or on any one thread before io_run
 * and after it, except io_post, io_call and io_stop, which any thread may use.
 * `done` is called from io_run, never from inside another function of this header.
 */
struct io;
struct io_op;

/* result: what the system call would return, or -errno (-ECANCELED after io_cancel). */
typedef void io_done(struct io_op *op, int result);

struct io_link { /* private to io*.c */
	struct io_link *previous, *next;
};

struct io_op {
	io_done *done; /* set by the call that starts the operation */
	/* private to io*.c */
	struct io_link link;
	struct io *io;
	int fd, result;
	uint8_t kind, state, stage, flavour;
	bool cancelled, armed;
	unsigned count;
	uint32_t mode;
	uint64_t offset, length;
	const struct iovec *segments;
	struct iovec single;
	union {
		uint64_t ticks; /* what an eventfd said */
		struct {
			int64_t seconds;
			long long nanoseconds;
		} time;
	} argument;
};

enum io_backend { IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_EPOLL };

struct io_config {
	enum io_backend backend; /* AUTO: io_uring if the host has it, else epoll; logged at info */
	unsigned entries;        /* submissions per turn, 0: 128 */
	bool one_thread; /* the thread that calls io_create makes every call but io_post, io_call
			    and io_stop: the host then has less to do for each operation */
};

/* Also makes the process ignore SIGPIPE: a reader that is gone is -EPIPE here, never a signal. */
int io_create(const struct io_config *config, struct io **out);
/* No operation may be busy. Accepts NULL. */
void io_destroy(struct io *io);
const char *io_backend_name(const struct io *io);

/* Operations on this descriptor will be many: the host looks it up once. It stays open until
 * io_unpin, and the file behind it for up to a second longer. Only makes things faster, so there is
 * nothing to fail. */
void io_pin(struct io *io, int fd);
void io_unpin(struct io *io, int fd);

/* Timers may be shorter than a millisecond. */
bool io_has_short_timers(const struct io *io);

/* Operations that are busy: those of the loop's own, too. For statistics. */
unsigned io_busy_count(const struct io *io);

/* Makes the calling thread the loop's thread; io_run does it if it was not done. After it the loop
 * needs only: io_uring_enter (or epoll_wait, epoll_ctl, readv, writev, preadv, pwritev, preadv2,
 * pwritev2, recvmsg, sendmsg, fdatasync, fallocate, accept4), read, write, futex. */
int io_attach(struct io *io);

/* Serve until io_stop; 0, or -errno when the loop itself cannot go on. */
int io_run(struct io *io);
/* One turn: waits for something to happen (at most timeout_ms; -1: for ever), runs what is done. */
int io_turn(struct io *io, int timeout_ms);
void io_stop(struct io *io);

/* ---- operations: `op` must be idle ---- */

/* Files at an offset; `segments` stay with the caller until done. Short counts are possible. */
void io_readv_at(struct io *io, struct io_op *op, int fd, const struct iovec *segments,
		 unsigned count, uint64_t offset, io_done *done);
void io_writev_at(struct io *io, struct io_op *op, int fd, const struct iovec *segments,
		  unsigned count, uint64_t offset, io_done *done);
void io_fdatasync(struct io *io, struct io_op *op, int fd, io_done *done);
/* mode: FALLOC_FL_...; works on files and block devices. */
void io_fallocate(struct io *io, struct io_op *op, int fd, int mode, uint64_t offset,
		  uint64_t length, io_done *done);

/* Streams (pipe, terminal, socket, also a regular file at its own position). The descriptor's
 * blocking mode is never changed; the loop never sleeps in them, but, where io_uring is forbidden,
 * in a terminal without O_NONBLOCK. 0 from a read is its end. */
void io_read(struct io *io, struct io_op *op, int fd, void *to, size_t size, io_done *done);
void io_write(struct io *io, struct io_op *op, int fd, const void *from, size_t size,
	      io_done *done);
/* The same in segments, which stay with the caller until done: for streams, and for taps and packet
 * sockets, where each call is one packet. These descriptors must be O_NONBLOCK or sockets. */
void io_readv(struct io *io, struct io_op *op, int fd, const struct iovec *segments, unsigned count,
	      io_done *done);
void io_writev(struct io *io, struct io_op *op, int fd, const struct iovec *segments,
	       unsigned count, io_done *done);
/* events: POLLIN, POLLOUT, ...; result: the events that came. One shot. Files that know no poll
 * are always ready. */
void io_poll(struct io *io, struct io_op *op, int fd, short events, io_done *done);
/* result: the connection's descriptor, close-on-exec and not blocking. */
void io_accept(struct io *io, struct io_op *op, int fd, io_done *done);
/* An eventfd's kicks: done(op, 1) after each, or once after several, again and again, until
 * cancelled. Its count may stay what it is: nobody else can read the eventfd. */
void io_watch(struct io *io, struct io_op *op, int fd, io_done *done);
/* done(op, 0) after the time has passed. */
void io_timer(struct io *io, struct io_op *op, uint64_t after_ns, io_done *done);

bool io_is_busy(const struct io_op *op);
/* Asks for the operation to end early; done is still called, with -ECANCELED or, if it was too
 * late, the real result. Does nothing when idle. */
void io_cancel(struct io_op *op);
/* The same, and waits: afterwards the operation is idle, nobody uses its buffers and done was not
 * called. Waits for as long as a disk needs for a request that cannot be stopped. Returns the
 * result the operation had; -ECANCELED also when it was idle. */
int io_cancel_wait(struct io_op *op);

/* Work to do once at the end of the turn, after everything that was ready: how a device makes one
 * interrupt of many completions. Asking again before it ran changes nothing. */
struct io_deferred {
	void (*run)(struct io_deferred *deferred);
	struct io_deferred *next; /* private */
	bool is_queued;           /* private */
};
void io_defer(struct io *io, struct io_deferred *deferred);
void io_defer_cancel(struct io *io, struct io_deferred *deferred);

/* ---- from other threads ---- */

/* Runs run(message) on the loop's thread, in the order posted. The message must stay until then. */
struct io_message {
	void (*run)(struct io_message *message);
	struct io_message *next; /* private */
};
int io_post(struct io *io, struct io_message *message); /* -ESHUTDOWN after io_stop: not run */

/* Runs function(argument) on the loop's thread and waits for it. On the loop's own thread, and
 * while no thread is attached, it is a plain call. -ESHUTDOWN: the loop has stopped, not run. */
int io_call(struct io *io, void (*function)(void *argument), void *argument);

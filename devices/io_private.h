#pragma once
/* Shared by io.c and its two engines; nobody else includes it. */
#include "base/container_of.h"
#include "devices/io.h"
#include <liburing.h>
#include <pthread.h>

enum io_kind {
	IO_READV_AT,
	IO_WRITEV_AT,
	IO_SYNC,
	IO_FALLOCATE,
	IO_READ,
	IO_WRITE,
	IO_READV,
	IO_WRITEV,
	IO_POLL,
	IO_ACCEPT,
	IO_WATCH,
	IO_TIMER,
};

enum { IO_MAX_PINS = 256 };

enum io_state {
	IO_IDLE,
	IO_PENDING, /* the engine has it */
	IO_READY,   /* finished, in io->ready, done not yet called */
};

struct io_engine {
	const char *name;
	bool has_short_timers;
	int (*open)(struct io *io, const struct io_config *config);
	void (*close)(struct io *io);
	/* The operation is IO_PENDING until the engine calls io_finish for it. */
	void (*start)(struct io *io, struct io_op *op);
	void (*cancel)(struct io *io, struct io_op *op);
	/* Hands over what was started, finishes what is finished; sleeps at most timeout_ms when
	 * there is nothing (-1: no limit). */
	int (*wait)(struct io *io, int timeout_ms);
	/* May be NULL. */
	void (*pin)(struct io *io, int fd, bool on);
};
extern const struct io_engine io_engine_ring, io_engine_epoll;

struct io_file { /* epoll: who waits for a descriptor */
	struct io_link waiting;
	uint32_t registered; /* events epoll was told of; 0: it does not know the descriptor */
};

struct io {
	const struct io_engine *engine;
	struct io_link ready;
	unsigned ready_count, busy_count;
	struct io_deferred *deferred;
	pthread_t thread;
	bool attached; /* atomic */

	pthread_mutex_t lock; /* the three below */
	struct io_message *first_message, **last_message;
	bool stopped; /* also read without the lock, atomically */
	int wake_fd;
	struct io_op wake;

	struct io_uring ring;
	bool has_table;
	bool pins[IO_MAX_PINS]; /* ring: which descriptors are in the table, each at its number */
	int epoll_fd;
	struct io_file *files;
	struct io_link again;  /* operations to be tried at the next wait, whatever happens */
	struct io_link timers; /* epoll: nearest first */
};

void io_finish(struct io_op *op, int result);

static inline void io_link_init(struct io_link *list)
{
	list->previous = list->next = list;
}

static inline bool io_link_is_empty(const struct io_link *list)
{
	return list->next == list;
}

static inline void io_link_insert(struct io_link *before, struct io_link *link)
{
	link->previous = before->previous;
	link->next = before;
	before->previous->next = link;
	before->previous = link;
}

static inline void io_link_remove(struct io_link *link)
{
	link->previous->next = link->next;
	link->next->previous = link->previous;
	io_link_init(link);
}

static inline struct io_op *io_op_of(struct io_link *link)
{
	return container_of(link, struct io_op, link);
}

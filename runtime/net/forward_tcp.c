/*
 * A connection is two halves, each from one socket to the other through a buffer of its own.
 * Whatever happens on either socket, both halves are moved as far as they go; then each socket is
 * waited for with what its halves need. A half ends with its sender's end, which is passed on once
 * the buffer is empty; an error on either side ends both at once, so that the other side hears of
 * it.
 */
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/forward_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

enum { BUFFER_SIZE = 64 << 10, ACCEPTS = 16, MOVES = 16 };

struct listener {
	struct forward_watch watch;
	struct forward_target target;
};

struct half {
	size_t start, end;
	bool ended, told; /* its sender is done; its receiver knows */
	uint8_t buffer[BUFFER_SIZE];
};

struct connection {
	struct forward_watch client, guest;
	struct half up, down; /* client to guest, guest to client */
};

/* with_reset: the peers are told that it did not end well. */
static void finish(struct connection *connection, bool with_reset)
{
	const struct linger reset = { .l_onoff = 1 };

	if (with_reset) {
		(void)SYS(setsockopt, connection->client.fd, SOL_SOCKET, SO_LINGER, &reset,
			  sizeof reset);
		(void)SYS(setsockopt, connection->guest.fd, SOL_SOCKET, SO_LINGER, &reset,
			  sizeof reset);
	}
	(void)close(connection->client.fd);
	(void)close(connection->guest.fd);
	free(connection);
}

static bool would_block(long r)
{
	return r == -EAGAIN || r == -EWOULDBLOCK;
}

/* 1: something moved. 0: nothing can now. */
static int move_once(struct half *half, int from, int to)
{
	long r;

	if (half->start == half->end && !half->ended) {
		half->start = half->end = 0;
		r = SYS_RETRY(recv, from, half->buffer, sizeof half->buffer, 0);
		if (r < 0)
			return would_block(r) ? 0 : (int)r;
		half->end = (size_t)r;
		half->ended = r == 0;
	}
	if (half->start == half->end) {
		if (!half->ended || half->told)
			return 0;
		half->told = true;
		r = SYS(shutdown, to, SHUT_WR);
		return r < 0 ? (int)r : 0;
	}
	r = SYS_RETRY(send, to, half->buffer + half->start, half->end - half->start, MSG_NOSIGNAL);
	if (r < 0)
		return would_block(r) ? 0 : (int)r;
	half->start += (size_t)r;
	return 1;
}

/* A bounded share of each turn: the loop has other connections. */
static int move(struct half *half, int from, int to)
{
	int r = 1;

	for (int i = 0; r == 1 && i < MOVES; i++)
		r = move_once(half, from, to);
	return r < 0 ? r : 0;
}

static bool has_bytes(const struct half *half)
{
	return half->start < half->end;
}

static uint32_t wanted(const struct half *from_it, const struct half *to_it)
{
	uint32_t events = 0;

	if (!from_it->ended && !has_bytes(from_it))
		events |= EPOLLIN;
	if (has_bytes(to_it))
		events |= EPOLLOUT;
	return events;
}

static void turn(struct connection *connection, uint32_t events)
{
	struct half *up = &connection->up, *down = &connection->down;
	int r = events & EPOLLERR ? -EIO : 0;

	if (r == 0)
		r = move(up, connection->client.fd, connection->guest.fd);
	if (r == 0)
		r = move(down, connection->guest.fd, connection->client.fd);
	if (r == 0 && up->told && down->told) {
		finish(connection, false);
		return;
	}
	if (r == 0)
		r = forward_watch_set(&connection->client, wanted(up, down));
	if (r == 0)
		r = forward_watch_set(&connection->guest, wanted(down, up));
	if (r < 0)
		finish(connection, true);
}

static void on_client(struct forward_watch *watch, uint32_t events)
{
	turn(container_of(watch, struct connection, client), events);
}

static void on_guest(struct forward_watch *watch, uint32_t events)
{
	turn(container_of(watch, struct connection, guest), events);
}

static void start_connection(const struct listener *listener, int client_fd)
{
	const int yes = 1;
	own_fd client = client_fd;
	own_fd guest = (int)SYS(socket, listener->target.address.ss_family,
				SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct connection *connection;
	int r;

	if (guest < 0)
		return;
	(void)SYS(setsockopt, client, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
	(void)SYS(setsockopt, client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	(void)SYS(setsockopt, guest, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	r = (int)SYS(connect, guest, (const struct sockaddr *)&listener->target.address,
		     listener->target.size);
	connection = r == 0 || r == -EINPROGRESS ? calloc(1, sizeof *connection) : NULL;
	if (!connection)
		return;
	connection->client = (struct forward_watch){ .fd = take_fd(&client),
						     .epoll_fd = listener->watch.epoll_fd,
						     .ready = on_client };
	connection->guest = (struct forward_watch){ .fd = take_fd(&guest),
						    .epoll_fd = listener->watch.epoll_fd,
						    .ready = on_guest };
	/* nothing is read before the guest has answered: what a refused client sent is not lost
	 * silently, its connection is reset */
	r = forward_watch_set(&connection->guest, EPOLLOUT);
	if (r < 0)
		finish(connection, true);
}

static void on_listener(struct forward_watch *watch, uint32_t events)
{
	const struct listener *listener = container_of(watch, struct listener, watch);

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		int fd =
		    (int)SYS_RETRY(accept4, watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		start_connection(listener, fd);
	}
}

int forward_tcp_add(int epoll_fd, int fd, const struct forward_target *target)
{
	struct listener *listener = malloc(sizeof *listener);

	if (!listener)
		return -ENOMEM;
	*listener = (struct listener){
		.watch = { .fd = fd, .epoll_fd = epoll_fd, .ready = on_listener },
		.target = *target,
	};
	return forward_watch_set(&listener->watch, EPOLLIN);
}

#include "agent/relay.h"

#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

enum {
	BUFFER_SIZE = 32 << 10,
	SPLICE_SIZE = 1 << 20,
	STEPS_PER_TURN = 16, /* then the others have their turn */
};

enum step {
	STEP_MOVED,
	STEP_SOURCE_EMPTY,
	STEP_SOURCE_ENDED,
	STEP_SINK_FULL,
	STEP_SINK_GONE,
};

static bool is_writable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

	return SYS(poll, &poll_fd, 1, 0) > 0;
}

static enum step step_splice(struct relay *relay)
{
	long r = SYS_RETRY(splice, relay->source.fd, NULL, relay->sink.fd, NULL, SPLICE_SIZE,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (r > 0)
		return STEP_MOVED;
	if (r == 0)
		return STEP_SOURCE_ENDED;
	if (r == -EAGAIN) /* which of the two? */
		return is_writable(relay->sink.fd) ? STEP_SOURCE_EMPTY : STEP_SINK_FULL;
	return STEP_SINK_GONE;
}

static enum step step_write(struct relay *relay)
{
	long r =
	    SYS_RETRY(write, relay->sink.fd, relay->buffer + relay->at, relay->size - relay->at);

	if (r == -EAGAIN)
		return STEP_SINK_FULL;
	if (r < 0)
		return STEP_SINK_GONE;
	relay->at += (size_t)r;
	return STEP_MOVED;
}

/* EIO is how a terminal's master says that nobody has the terminal open any more. */
static enum step step_copy(struct relay *relay)
{
	long r;

	if (relay->at < relay->size)
		return step_write(relay);
	if (!relay->buffer)
		relay->buffer = malloc(BUFFER_SIZE);
	if (!relay->buffer)
		return STEP_SOURCE_ENDED;
	relay->at = relay->size = 0;
	r = SYS_RETRY(read, relay->source.fd, relay->buffer, BUFFER_SIZE);
	if (r == -EAGAIN)
		return STEP_SOURCE_EMPTY;
	if (r <= 0)
		return STEP_SOURCE_ENDED;
	relay->size = (size_t)r;
	return step_write(relay);
}

static void close_side(struct relay *relay, struct watch *side)
{
	loop_unwatch(relay->loop, side);
	own_fd_release(&side->fd);
	side->fd = -1;
}

void relay_stop(struct relay *relay)
{
	if (relay_is_over(relay))
		return;
	relay->state = RELAY_OVER;
	close_side(relay, &relay->source);
	close_side(relay, &relay->sink);
	free(relay->buffer);
	relay->buffer = NULL;
}

static void end(struct relay *relay)
{
	relay_stop(relay);
	if (relay->over)
		relay->over(relay);
}

/* The side that is not waited for is watched for nothing: a pipe's hang-up would be told again and
 * again. The sink's hang-up while the source is silent is worth knowing. */
static void wait_for(struct relay *relay, enum relay_state state)
{
	int r;

	relay->state = state;
	if (state == RELAY_WAIT_SINK) {
		loop_unwatch(relay->loop, &relay->source);
		r = loop_watch(relay->loop, &relay->sink, EPOLLOUT);
	} else {
		r = loop_watch(relay->loop, &relay->sink, 0);
		if (r == 0)
			r = loop_watch(relay->loop, &relay->source, EPOLLIN);
	}
	if (r < 0)
		end(relay);
}

static void pump(struct relay *relay)
{
	enum step step = STEP_MOVED;

	for (unsigned i = 0; step == STEP_MOVED && i < STEPS_PER_TURN; i++)
		step = relay->kind == RELAY_SPLICE ? step_splice(relay) : step_copy(relay);
	switch (step) {
	case STEP_MOVED:
		wait_for(relay, relay->at < relay->size ? RELAY_WAIT_SINK : RELAY_WAIT_SOURCE);
		break;
	case STEP_SOURCE_EMPTY:
		if (relay->finishing)
			end(relay);
		else
			wait_for(relay, RELAY_WAIT_SOURCE);
		break;
	case STEP_SINK_FULL:
		wait_for(relay, RELAY_WAIT_SINK);
		break;
	case STEP_SOURCE_ENDED:
	case STEP_SINK_GONE:
		end(relay);
		break;
	}
}

static void connected(struct relay *relay, int fd)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (SYS(getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
		end(relay);
	else
		pump(relay);
}

static void on_source(struct watch *watch, uint32_t events)
{
	struct relay *relay = container_of(watch, struct relay, source);

	(void)events;
	if (relay->state == RELAY_CONNECT)
		connected(relay, watch->fd);
	else
		pump(relay);
}

static void on_sink(struct watch *watch, uint32_t events)
{
	struct relay *relay = container_of(watch, struct relay, sink);

	if (relay->state == RELAY_CONNECT)
		connected(relay, watch->fd);
	else if (relay->state == RELAY_WAIT_SOURCE && events & (EPOLLHUP | EPOLLERR))
		end(relay);
	else
		pump(relay);
}

int relay_start(struct relay *relay, struct loop *loop, enum relay_kind kind,
		enum relay_connecting connecting, int source, int sink,
		void (*over)(struct relay *relay))
{
	int r;

	*relay = (struct relay){ .loop = loop,
				 .source = { .fd = source, .ready = on_source },
				 .sink = { .fd = sink, .ready = on_sink },
				 .kind = kind,
				 .state = RELAY_CONNECT,
				 .over = over };
	if (connecting == RELAY_SOURCE_CONNECTS)
		r = loop_watch(loop, &relay->source, EPOLLOUT);
	else if (connecting == RELAY_SINK_CONNECTS)
		r = loop_watch(loop, &relay->sink, EPOLLOUT);
	else
		r = 0;
	if (r < 0)
		relay_stop(relay);
	else if (connecting == RELAY_CONNECTED)
		wait_for(relay, RELAY_WAIT_SOURCE);
	return r;
}

void relay_finish(struct relay *relay)
{
	if (relay_is_over(relay))
		return;
	relay->finishing = true;
	if (relay->state == RELAY_WAIT_SOURCE)
		pump(relay);
}

bool relay_is_over(const struct relay *relay)
{
	return relay->state == RELAY_UNUSED || relay->state == RELAY_OVER;
}

bool relay_is_idle(const struct relay *relay)
{
	return relay_is_over(relay) || relay->state == RELAY_WAIT_SOURCE;
}

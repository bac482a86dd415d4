#include "agent/streams.h"

#include "agent/transport.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>

static struct streams *of_out(struct relay *relay)
{
	return container_of(relay, struct streams, out);
}

static struct streams *of_err(struct relay *relay)
{
	return container_of(relay, struct streams, err);
}

static void out_over(struct relay *relay)
{
	of_out(relay)->drained(of_out(relay));
}

static void err_over(struct relay *relay)
{
	of_err(relay)->drained(of_err(relay));
}

/* The agent's end must not block, the process's end must. */
static int make_pipe(int *reader, int *writer, bool reader_is_ours)
{
	int pair[2];
	int r = (int)SYS(pipe2, pair, O_CLOEXEC);

	if (r < 0)
		return r;
	r = (int)SYS(fcntl, pair[reader_is_ours ? 0 : 1], F_SETFL, O_NONBLOCK);
	*reader = pair[0];
	*writer = pair[1];
	return r;
}

static int open_input(struct streams *streams, uint32_t port)
{
	own_fd socket = -1, writer = -1;
	int r;

	if (port == 0)
		return 0;
	socket = transport_connect(port);
	r = socket < 0 ? socket : make_pipe(&streams->child[0], &writer, false);
	return r < 0 ? r
		     : relay_start(&streams->in, streams->loop, RELAY_COPY, RELAY_SOURCE_CONNECTS,
				   take_fd(&socket), take_fd(&writer), NULL);
}

static int open_output(struct streams *streams, uint32_t port, int *child, struct relay *relay,
		       void (*over)(struct relay *relay))
{
	own_fd socket = -1, reader = -1;
	int r;

	if (port == 0)
		return 0;
	socket = transport_connect(port);
	r = socket < 0 ? socket : make_pipe(&reader, child, true);
	return r < 0 ? r
		     : relay_start(relay, streams->loop, RELAY_SPLICE, RELAY_SINK_CONNECTS,
				   take_fd(&reader), take_fd(&socket), over);
}

static int open_terminal(struct streams *streams, const message_stdio *ports)
{
	const uint32_t wanted[] = { ports->stdin_port, ports->stdout_port };

	for (int i = 0; i < 2; i++) {
		if (wanted[i] == 0)
			continue;
		streams->sockets[i] = transport_connect(wanted[i]);
		if (streams->sockets[i] < 0)
			return streams->sockets[i];
	}
	return 0;
}

int streams_open(struct streams *streams, struct loop *loop, const message_stdio *ports,
		 bool terminal, void (*drained)(struct streams *streams), struct error *err)
{
	static const message_stdio none;
	int r;

	*streams = (struct streams){ .loop = loop,
				     .child = { -1, -1, -1 },
				     .sockets = { -1, -1 },
				     .terminal = -1,
				     .drained = drained };
	if (!ports)
		ports = &none;
	if (terminal) {
		r = open_terminal(streams, ports);
	} else {
		r = open_input(streams, ports->stdin_port);
		if (r == 0)
			r = open_output(streams, ports->stdout_port, &streams->child[1],
					&streams->out, out_over);
		if (r == 0)
			r = open_output(streams, ports->stderr_port, &streams->child[2],
					&streams->err, err_over);
	}
	if (r < 0)
		streams_close(streams);
	return r < 0 ? error_set(err, r, "connect the standard streams: %s", sys_text(r)) : 0;
}

void streams_forget_child(struct streams *streams)
{
	for (int i = 0; i < 3; i++) {
		own_fd_release(&streams->child[i]);
		streams->child[i] = -1;
	}
}

/* A descriptor for each direction, because each is in the event loop on its own. */
int streams_attach_terminal(struct streams *streams, int master)
{
	own_fd input = streams->sockets[0], output = streams->sockets[1];
	int r = 0;

	streams->sockets[0] = streams->sockets[1] = -1;
	streams->terminal = master;
	if (input >= 0) {
		int copy = (int)SYS(fcntl, master, F_DUPFD_CLOEXEC, 3);

		r = copy < 0 ? copy
			     : relay_start(&streams->in, streams->loop, RELAY_COPY,
					   RELAY_SOURCE_CONNECTS, take_fd(&input), copy, NULL);
	}
	if (r == 0 && output >= 0) {
		int copy = (int)SYS(fcntl, master, F_DUPFD_CLOEXEC, 3);

		r = copy < 0 ? copy
			     : relay_start(&streams->out, streams->loop, RELAY_COPY,
					   RELAY_SINK_CONNECTS, copy, take_fd(&output), out_over);
	}
	return r;
}

void streams_close_input(struct streams *streams)
{
	relay_finish(&streams->in);
}

bool streams_is_drained(const struct streams *streams)
{
	return relay_is_over(&streams->out) && relay_is_over(&streams->err);
}

bool streams_is_idle(const struct streams *streams)
{
	return relay_is_idle(&streams->out) && relay_is_idle(&streams->err);
}

void streams_close(struct streams *streams)
{
	streams_forget_child(streams);
	relay_stop(&streams->in);
	relay_stop(&streams->out);
	relay_stop(&streams->err);
	own_fd_release(&streams->sockets[0]);
	own_fd_release(&streams->sockets[1]);
	own_fd_release(&streams->terminal);
	streams->sockets[0] = streams->sockets[1] = streams->terminal = -1;
}

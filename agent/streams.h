#pragma once
#include "agent/message.h"
#include "agent/relay.h"
#include "base/error.h"

/*
 * A process's standard streams. Each is a pipe (so that opening /dev/stdout works, which it does
 * not for a socket) or the terminal on the process's side, and a vsock connection on the host's.
 */
struct streams {
	struct loop *loop;
	struct relay in, out, err;
	int child[3];   /* the process's ends, -1: none; closed by streams_forget_child */
	int sockets[2]; /* terminal: in and out, until streams_attach_terminal */
	int terminal;   /* the master, for resizing; -1 */
	void (*drained)(struct streams *streams); /* out or err has ended */
};

/* Connects, and makes the pipes. On failure everything is closed. */
int streams_open(struct streams *streams, struct loop *loop, const message_stdio *ports,
		 bool terminal, void (*drained)(struct streams *streams), struct error *err);
void streams_forget_child(struct streams *streams);

/* Takes the master of the process's terminal. */
int streams_attach_terminal(struct streams *streams, int master);

/* What the host has sent is still given to the process. A terminal's stdin just ends. */
void streams_close_input(struct streams *streams);

bool streams_is_drained(const struct streams *streams);
/* Not drained, but there is nothing to be moved at this moment. */
bool streams_is_idle(const struct streams *streams);
void streams_close(struct streams *streams);

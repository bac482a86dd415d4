#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <termios.h>

/* The caller's terminal in raw mode. A small process watches over it: should katavm be killed, it
 * puts the terminal back. Zeroed plus fds of -1 (see TERMINAL_CLOSED) is closed. */
struct terminal {
	int fd, watch_fd; /* private */
	pid_t guard;
	struct termios before;
};
#define TERMINAL_CLOSED                                                                            \
	(struct terminal)                                                                          \
	{                                                                                          \
		.fd = -1, .watch_fd = -1                                                           \
	}

/* Raw from now on. fd is borrowed. */
int terminal_open(int fd, struct terminal *out, struct error *err);

/* As it was before. Accepts a closed one. */
void terminal_close(struct terminal *terminal);

/* A second open file of the terminal behind fd that never blocks, for another process: the mode of
 * fd itself is shared with whoever else has it. The caller's to close. flags: O_RDONLY or O_WRONLY.
 * -ENOTTY: it is no terminal. Others, such as -EACCES of another user's, mean that it cannot be
 * had. */
int terminal_reopen(int fd, int flags);

/* The size of the terminal behind fd; 0 by 0 when it has none. */
void terminal_size(int fd, unsigned short *rows, unsigned short *columns);

#pragma once
#include "base/error.h"
#include <stdint.h>

/*
 * What a process being started tells the agent, over a socket of records that exec closes. The
 * order is: ROOT (with the root of a new container), TERMINAL (with the terminal's descriptor),
 * READY when the start is to be waited for, then EXEC and nothing more, or FAILED or NOT_EXECUTED
 * instead.
 */
enum report_kind {
	REPORT_ROOT = 1,
	REPORT_TERMINAL,
	REPORT_READY,        /* a byte from the agent lets it go on */
	REPORT_EXEC,         /* about to execute, at time_ns */
	REPORT_NOT_EXECUTED, /* the program cannot be executed: code says why */
	REPORT_FAILED,       /* something before that failed */
};

struct report {
	uint32_t kind;
	int32_t code; /* -errno */
	uint64_t time_ns;
	char text[240];
};

/* A pair of sockets for reports; both non-inheritable. */
int report_open(int pair[2]);

/* The process's side. passed: descriptor that goes along, or -1. */
int report_send(int fd, const struct report *report, int passed);
int report_wait_for_start(int fd);

/* The agent's side. 1: *report, and *passed (-1: none; the caller's). 0: nothing now. -ECONNRESET:
 * closed, by exec or death. */
int report_receive(int fd, struct report *report, int *passed);
int report_let_start(int fd);

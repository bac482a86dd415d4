#pragma once
#include "runtime/net/allow.h"

#include <sys/types.h>

/*
 * The addresses of what --allow-host names change while a sandbox runs: every 30 seconds a child
 * looks all names up again, and what is new is added. What was found earlier stays allowed, for the
 * guest may go on using it. One thread.
 */
struct allow_again {
	int timer_fd; /* readable: call allow_again_process; -1: there is no name to look up */
	int answers_fd;
	pid_t pid; /* of the child; 0: none */
};

#define ALLOW_AGAIN_NONE ((struct allow_again){ .timer_fd = -1, .answers_fd = -1 })

int allow_again_open(const struct allowed *allowed, struct allow_again *out, struct error *err);
/* Accepts ALLOW_AGAIN_NONE. */
void allow_again_close(struct allow_again *again);

/* Adds what was found to *allowed, behind what was there, and says how much that is. */
size_t allow_again_process(struct allow_again *again, struct allowed *allowed);

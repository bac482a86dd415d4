#pragma once
#include "base/error.h"
#include <sys/types.h>

/* A process of this program in another role: the VMM, the server of shared folders. */
struct spawned {
	pid_t pid; /* 0: none */
	int pidfd; /* while there is one; or negative */
};

/* Starts it with `socket` as its descriptor 3, which is its one argument, and nothing else but
 * stderr. It dies with the calling thread. */
int spawn_role(const char *name, int socket, struct spawned *out, struct error *err);

/* Kills it, waits for its end and closes the pidfd. Accepts one that is none. */
void spawn_end(struct spawned *child);

#pragma once
#include "base/error.h"
#include <sys/types.h>

struct layer_child {
	pid_t pid;  /* 0 when there is none */
	int socket; /* its frames; owned */
};

/* Re-executes this program as LAYER_ROLE with the words (NULL-ended, without the role), an empty
 * environment, and no descriptors but its socket and file. */
int layer_child_start(const char *const *words, int file, struct layer_child *child,
		      struct error *err);

/* Ends it if it still runs, and takes back what it was. Returns the signal that ended it by itself,
 * or 0. Accepts a zeroed child. */
int layer_child_end(struct layer_child *child);

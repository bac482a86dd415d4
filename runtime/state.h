#pragma once
#include "base/error.h"
#include "runtime/run_config.h"

/* What is known of running containers: a locked file for each that has a name or labels. The lock
 * is the truth; a file nobody holds is of a katavm that was killed, and is taken over. */
struct state {
	int fd; /* private; -1: nothing is held */
	char path[256];
};

int state_open(const struct run_config *config, struct state *out, struct error *err);
void state_close(struct state *state);

/* Boot logs of starts that failed, the newest few of them. Makes an empty one for id and gives its
 * path. */
int state_boot_log_open(const char *id, int *out_fd, char *path, size_t path_size,
			struct error *err);

/* The newest boot log, or that of the id that starts with `id`. -ENOENT: there is none. */
int state_boot_log_find(const char *id, char *path, size_t path_size, struct error *err);

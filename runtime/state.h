#pragma once
#include "base/error.h"
#include "runtime/run_config.h"
#include <limits.h>

/* What is known of running containers: a locked file for each, named by the container's name or its
 * id. The lock is the truth; a file nobody holds is of a katavm that was killed, and is taken over.
 */
struct state {
	int fd; /* private; -1: nothing is held */
	char path[256];
	char socket[108]; /* where this container's katavm is to listen: runtime/monitor.h */
};

int state_open(const struct run_config *config, struct state *out, struct error *err);
void state_close(struct state *state);

/* The folder of those files; made when missing. */
int state_folder(char path[PATH_MAX], struct error *err);

/* Takes the lock, which the descriptor's end gives back. False: somebody has it, or the file of
 * that name is another one by now. */
bool state_take(int fd, int folder, const char *file);

/* Boot logs of starts that failed, the newest few of them. Makes an empty one for id and gives its
 * path. */
int state_boot_log_open(const char *id, int *out_fd, char *path, size_t path_size,
			struct error *err);

/* The newest boot log, or that of the id that starts with `id`. -ENOENT: there is none. */
int state_boot_log_find(const char *id, char *path, size_t path_size, struct error *err);

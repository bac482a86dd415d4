#pragma once
#include "agent/message.h"
#include "base/error.h"
#include <limits.h>

struct exec_program {
	char *const *args;
	char **env; /* with HOME */
	char path[PATH_MAX];
};

/* Finds the program as the process itself, in its own PATH. Errors are sentences that Docker's
 * users know; the code tells what is missing (-ENOENT) from what cannot be executed (others). */
int exec_find(const message_process *process, const char *home, struct exec_program *out,
	      struct error *err);

/* Returns only when it fails. */
int exec_run(const struct exec_program *program, struct error *err);

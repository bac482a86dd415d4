#pragma once
#include "agent/message.h"
#include "agent/users.h"
#include "base/error.h"
#include <stdbool.h>

/* In the new process: makes a terminal of the container's own devpts, its size set, sends its
 * master to the agent as a report, and makes it fds 0, 1, 2 and the controlling terminal. console:
 * it is /dev/console too. */
int terminal_open(int root, const message_process *process, const struct user *user, int report,
		  bool console, struct error *err);

int terminal_resize(int master, unsigned rows, unsigned columns);

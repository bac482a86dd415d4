#pragma once
#include "agent/message.h"
#include <stdbool.h>
#include <stdint.h>

/*
 * The new process's own way from clone to exec: everything here runs in it, so that whatever a
 * container's files make of it, the agent is not concerned.
 */
enum { LAUNCH_MAX_JOINS = 8 };

struct launch {
	const message_process *process;
	int report;      /* report.h; closed by exec */
	int stdio[3];    /* -1: /dev/null, or the terminal */
	int null_device; /* a /dev/null that no container could have made */

	/* A container's first process. */
	int cgroup;                         /* descriptor of its cgroup, which it is in */
	const message_container *container; /* NULL: a process that enters what exists */
	const char *place;                  /* folder for its mounts */
	const char *null_path;              /* of the null device, in the agent's root */
	uint64_t new_namespaces;            /* CLONE_NEW*, those that clone made */
	bool wait_for_start;

	/* Namespaces to enter, by the pidfd of a process inside. */
	struct {
		int pidfd;
		int types; /* CLONE_NEW* */
	} joins[LAUNCH_MAX_JOINS];
	unsigned join_count;
};

_Noreturn void launch_run(const struct launch *launch);

#pragma once
#include "agent/launch.h"
#include "agent/loop.h"
#include "agent/protocol/ttrpc_server.h"
#include "agent/streams.h"
#include "base/error.h"
#include <sys/types.h>

/* One process of a container, from its clone to its last byte of output. */
enum process_state {
	PROCESS_STARTING, /* on its way to exec */
	PROCESS_READY,    /* waits for process_let_start */
	PROCESS_RUNNING,
	PROCESS_ENDED,
};

/* How a start went. failure.code < 0 without exec_failed: it did not come as far as exec. */
struct process_outcome {
	bool exec_failed;
	bool ready; /* waits to be let start; another outcome will follow */
	struct error failure;
	uint64_t exec_ns;
};

struct process;
struct container;
typedef void process_outcome_fn(void *context, struct process *process,
				const struct process_outcome *outcome);

struct process_waiter {
	struct process_waiter *next;
	struct ttrpc_call *call;
};

struct process {
	struct process *next; /* in its container */
	struct container *container;
	struct loop *loop;
	char *exec_id; /* "" for the container's own */
	enum process_state state;
	pid_t pid;
	int pidfd;                 /* of a container's first process; else -1 */
	int root;                  /* the same; keeps the container's file systems mounted */
	struct watch report_watch; /* fd -1 once the start is decided */
	struct process_outcome outcome;
	bool undecided; /* it failed and has not ended yet */
	process_outcome_fn *decided;
	void *context;
	struct streams stdio;
	struct timer silence;
	struct process_waiter *waiters;
	int status; /* of waitpid, once ENDED */
	uint64_t ended_realtime_ns;
	bool oom_killed;
	bool output_done;
	bool heard; /* somebody was told how it ended */
	/* It has ended and what it wrote is handed on. Called again when its children, who still
	 * had its output, have ended it too. May destroy the process. */
	void (*finished)(struct process *process);
};

struct process_plan {
	struct launch launch; /* report and stdio are filled in */
	uint64_t clone_flags;
	int cgroup; /* descriptor, or -1 */
	bool wants_pidfd;
	const char *exec_id;
	struct container *container;
	process_outcome_fn *decided; /* from the loop; in the end once, and before finished */
	void *context;
	void (*finished)(struct process *process);
};

/* plan->launch's messages are used by the new process only, before this returns. */
int process_start(struct loop *loop, struct process_plan *plan, struct process **out,
		  struct error *err);
int process_let_start(struct process *process);

/* waitpid has returned this. */
void process_end(struct process *process, int status);

int process_add_waiter(struct process *process, struct ttrpc_call *call);
void process_destroy(struct process *process);

#pragma once
#include "agent/agent.h"
#include "agent/message.h"
#include "agent/process.h"
#include "base/error.h"

/* A container is its first process, those executed into it, its cgroup and its mounts, which live
 * in the first process's mount namespace and are unmounted with the container. */
struct container {
	struct container *next;
	struct agent *agent;
	char *id, *cgroup_path;
	char place[16]; /* its folder in the agent's root */
	size_t layer_count;
	int cgroup;
	struct process *processes; /* the first process is the last of the list */
	struct process *first;
	bool failed; /* never started: goes when its process has ended */
	struct ttrpc_call *deletion;
};

struct container *container_find(const struct agent *agent, const char *id);
struct process *container_find_process(const struct container *container, const char *exec_id);

/* Messages have been validated. decided is called from the loop; after a failure the container, or
 * the executed process, goes by itself. */
int container_create(struct agent *agent, const message_container *message,
		     process_outcome_fn *decided, void *context, struct error *err);
int container_exec(struct container *container, const char *exec_id, const message_process *message,
		   process_outcome_fn *decided, void *context, struct error *err);

/* Answers the call now or when the process has ended and its output is handed on. */
void container_wait(struct container *container, struct process *process, struct ttrpc_call *call);

int container_signal_all(struct container *container, int number);

/* Writes into its root while it runs, as the root file system lets it. */
int container_write_file(const struct container *container, const message_file *file,
			 struct error *err);

/* Answers the call when it is gone. */
void container_delete(struct container *container, struct ttrpc_call *call);
void container_kill_all(struct agent *agent);

/* waitpid's news, for whichever process it is. */
void container_reap(struct agent *agent, pid_t pid, int status);
bool container_any_alive(const struct agent *agent);

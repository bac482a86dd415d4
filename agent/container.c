#include "agent/container.h"

#include "agent/cgroup.h"
#include "agent/kernel.h"
#include "agent/paths.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct container *container_find(const struct agent *agent, const char *id)
{
	struct container *container = agent->containers;

	while (container && strcmp(container->id, id) != 0)
		container = container->next;
	return container;
}

struct process *container_find_process(const struct container *container, const char *exec_id)
{
	struct process *process = container->processes;

	while (process && strcmp(process->exec_id, exec_id) != 0)
		process = process->next;
	return process;
}

static void remove_place(const struct container *container)
{
	char path[64];

	for (size_t i = 0; i < container->layer_count; i++) {
		(void)snprintf(path, sizeof path, "%s/%zu", container->place, i);
		(void)SYS(rmdir, path);
	}
	(void)snprintf(path, sizeof path, "%s/rw", container->place);
	(void)SYS(rmdir, path);
	(void)snprintf(path, sizeof path, "%s/root", container->place);
	(void)SYS(rmdir, path);
	(void)SYS(rmdir, container->place);
}

static void destroy(struct container *container)
{
	struct container **slot = &container->agent->containers;

	while (*slot && *slot != container)
		slot = &(*slot)->next;
	if (*slot)
		*slot = container->next;
	while (container->processes) {
		struct process *process = container->processes;

		container->processes = process->next;
		process_destroy(process);
	}
	if (container->cgroup >= 0) {
		(void)cgroup_kill(container->cgroup);
		(void)cgroup_remove(container->agent->cgroup_root, container->cgroup_path);
		(void)close(container->cgroup);
	}
	remove_place(container);
	free(container->cgroup_path);
	free(container->id);
	free(container);
}

static void forget_process(struct process *process)
{
	struct process **slot = &process->container->processes;

	while (*slot && *slot != process)
		slot = &(*slot)->next;
	if (*slot)
		*slot = process->next;
	process_destroy(process);
}

static void answer_wait(const struct process *process, struct ttrpc_call *call)
{
	Katavm__Agent__V1__WaitProcessResponse response;

	katavm__agent__v1__wait_process_response__init(&response);
	if (WIFSIGNALED(process->status))
		response.signal = (uint32_t)WTERMSIG(process->status);
	else
		response.exit_code = (uint32_t)WEXITSTATUS(process->status);
	response.oom_killed = process->oom_killed;
	response.exited_realtime_ns = process->ended_realtime_ns;
	ttrpc_answer(call, &response.base);
}

static void answer_waiters(struct process *process)
{
	while (process->waiters) {
		struct process_waiter *waiter = process->waiters;

		process->waiters = waiter->next;
		answer_wait(process, waiter->call);
		free(waiter);
	}
}

static void answer_deletion(struct container *container)
{
	struct ttrpc_call *call = take_ptr(container->deletion);
	Katavm__Agent__V1__Empty empty;

	katavm__agent__v1__empty__init(&empty);
	destroy(container);
	ttrpc_answer(call, &empty.base);
}

static bool was_killed(int status)
{
	return WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
				   : WEXITSTATUS(status) == 128 + SIGKILL;
}

static void first_finished(struct process *process)
{
	struct container *container = process->container;

	process->oom_killed = was_killed(process->status) && container->cgroup >= 0 &&
			      cgroup_saw_oom_kill(container->cgroup);
	answer_waiters(process);
	if (container->deletion)
		answer_deletion(container);
	else if (container->failed)
		destroy(container);
}

/* An executed process is remembered until somebody has heard how it ended. */
static void exec_finished(struct process *process)
{
	bool heard = process->waiters || process->outcome.failure.code < 0;

	process->oom_killed = was_killed(process->status) && process->container->cgroup >= 0 &&
			      cgroup_saw_oom_kill(process->container->cgroup);
	answer_waiters(process);
	if ((heard || process->heard) && streams_is_drained(&process->stdio))
		forget_process(process);
	else
		process->heard |= heard;
}

void container_wait(struct container *container, struct process *process, struct ttrpc_call *call)
{
	if (!process->output_done) {
		if (process_add_waiter(process, call) < 0)
			ttrpc_refuse(call, TTRPC_RESOURCE_EXHAUSTED, "no memory to wait");
		return;
	}
	answer_wait(process, call);
	process->heard = true;
	if (process != container->first && streams_is_drained(&process->stdio))
		forget_process(process);
}

static uint64_t namespace_flag(const char *type)
{
	static const struct {
		const char *name;
		uint64_t flag;
	} table[] = {
		{ "pid", CLONE_NEWPID },   { "network", CLONE_NEWNET },
		{ "mount", CLONE_NEWNS },  { "ipc", CLONE_NEWIPC },
		{ "uts", CLONE_NEWUTS },   { "cgroup", CLONE_NEWCGROUP },
		{ "user", CLONE_NEWUSER }, { "time", 0x80 /* CLONE_NEWTIME */ },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (strcmp(table[i].name, type) == 0)
			return table[i].flag;
	return 0;
}

/* Which namespaces are new, and which are another container's. *pid_of: a process in whose pid
 * namespace to start, or -1. */
static int plan_namespaces(const struct agent *agent, const message_container *message,
			   struct process_plan *plan, int *pid_of, struct error *err)
{
	for (size_t i = 0; i < message->n_namespaces; i++) {
		const message_namespace *one = message->namespaces[i];
		uint64_t flag = namespace_flag(one->type);
		const struct container *other = NULL;

		if (*one->path == '\0') {
			plan->launch.new_namespaces |= flag;
			continue;
		}
		other = container_find(agent, one->path);
		if (!other || other->first->state == PROCESS_ENDED)
			return error_set(err, -ENOENT, "%s namespace: container %s does not run",
					 one->type, one->path);
		if (flag == CLONE_NEWPID) {
			*pid_of = other->first->pidfd;
		} else {
			struct launch *launch = &plan->launch;

			launch->joins[launch->join_count].pidfd = other->first->pidfd;
			launch->joins[launch->join_count++].types = (int)flag;
		}
	}
	plan->clone_flags = plan->launch.new_namespaces & ~(uint64_t)CLONE_NEWCGROUP;
	return 0;
}

/* Children are born into the pid namespace of pid_of while this holds; -1: into our own again. */
static int aim_pid_namespace(struct agent *agent, int pid_of)
{
	if (agent->pid_namespace < 0)
		agent->pid_namespace = (int)SYS(syscall, SYS_pidfd_open, getpid(), 0);
	if (agent->pid_namespace < 0)
		return agent->pid_namespace;
	return (int)SYS(setns, pid_of < 0 ? agent->pid_namespace : pid_of, CLONE_NEWPID);
}

static int start_in(struct container *container, struct process_plan *plan, int pid_of,
		    struct error *err)
{
	struct process *process;
	int r = pid_of < 0 ? 0 : aim_pid_namespace(container->agent, pid_of);

	if (r < 0)
		return error_set(err, r, "enter the pid namespace: %s", sys_text(r));
	plan->cgroup = container->cgroup;
	plan->container = container;
	plan->launch.null_device = container->agent->null_device;
	plan->launch.cgroup = container->cgroup;
	r = process_start(&container->agent->loop, plan, &process, err);
	if (pid_of >= 0)
		(void)aim_pid_namespace(container->agent, -1);
	if (r < 0)
		return r;
	process->next = container->processes;
	container->processes = process;
	return 0;
}

static int make_cgroup(struct container *container, const message_container *message,
		       struct error *err)
{
	struct agent *agent = container->agent;
	const char *path = *message->cgroups_path ? message->cgroups_path : message->id;
	int r;

	if (agent->cgroup_root < 0)
		agent->cgroup_root = cgroup_mount();
	if (agent->cgroup_root < 0)
		return error_set(err, agent->cgroup_root, "mount the cgroup hierarchy: %s",
				 sys_text(agent->cgroup_root));
	container->cgroup_path = strdup(path);
	if (!container->cgroup_path)
		return error_set(err, -ENOMEM, "no memory for a container");
	r = cgroup_create(agent->cgroup_root, path, message->resources, err);
	if (r < 0)
		return r;
	container->cgroup = r;
	return 0;
}

static struct container *make_container(struct agent *agent, const message_container *message)
{
	struct container *container = calloc(1, sizeof *container);

	if (!container)
		return NULL;
	*container = (struct container){ .agent = agent,
					 .id = strdup(message->id),
					 .layer_count = message->rootfs->n_layer_serials,
					 .cgroup = -1,
					 .next = agent->containers };
	if (!container->id) {
		free(container);
		return NULL;
	}
	(void)snprintf(container->place, sizeof container->place, "/c%u", agent->next_place++);
	agent->containers = container;
	return container;
}

int container_create(struct agent *agent, const message_container *message,
		     process_outcome_fn *decided, void *context, struct error *err)
{
	struct container *container;
	struct process_plan plan = { .wants_pidfd = true,
				     .exec_id = "",
				     .decided = decided,
				     .context = context,
				     .finished = first_finished };
	int pid_of = -1, r;

	if (container_find(agent, message->id))
		return error_set(err, -EEXIST, "container %s exists", message->id);
	container = make_container(agent, message);
	if (!container)
		return error_set(err, -ENOMEM, "no memory for a container");
	plan.launch = (struct launch){ .process = message->process,
				       .container = message,
				       .place = container->place,
				       .null_path = AGENT_NULL_PATH,
				       .wait_for_start = !message->start };
	r = plan_namespaces(agent, message, &plan, &pid_of, err);
	if (r == 0)
		r = make_cgroup(container, message, err);
	if (r == 0)
		r = start_in(container, &plan, pid_of, err);
	if (r < 0) {
		destroy(container);
		return r;
	}
	container->first = container->processes;
	return 0;
}

int container_exec(struct container *container, const char *exec_id, const message_process *message,
		   process_outcome_fn *decided, void *context, struct error *err)
{
	const struct process *first = container->first;
	struct process_plan plan = { .launch = { .process = message },
				     .exec_id = exec_id,
				     .decided = decided,
				     .context = context,
				     .finished = exec_finished };

	if (first->state != PROCESS_RUNNING)
		return error_set(err, -ESRCH, "container %s is not running", container->id);
	if (container_find_process(container, exec_id))
		return error_set(err, -EEXIST, "process %s exists", exec_id);
	plan.launch.joins[0].pidfd = first->pidfd;
	plan.launch.joins[0].types =
	    CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
	plan.launch.join_count = 1;
	return start_in(container, &plan, first->pidfd, err);
}

static int signal_each(struct container *container, int number)
{
	own_fd fd = (int)SYS(openat, container->cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char text[4096], *at = text;
	long got = fd < 0 ? fd : SYS(read, fd, text, sizeof text - 1);

	if (got < 0)
		return (int)got;
	text[got] = '\0';
	while (*at) {
		long pid = strtol(at, &at, 10);

		if (pid > 1)
			(void)SYS(kill, (pid_t)pid, number);
		at += strspn(at, "\n");
	}
	return 0;
}

int container_signal_all(struct container *container, int number)
{
	return number == SIGKILL ? cgroup_kill(container->cgroup) : signal_each(container, number);
}

int container_write_file(const struct container *container, const message_file *file,
			 struct error *err)
{
	if (!container->first || container->first->root < 0)
		return error_set(err, -ENOENT, "the container has no root file system yet");
	return paths_write(container->first->root, file->path, file->content.data,
			   file->content.len, file->mode ? file->mode & 07777 : 0644, file->append,
			   err);
}

void container_delete(struct container *container, struct ttrpc_call *call)
{
	const struct process *first = container->first;

	if (first->state == PROCESS_RUNNING || container->deletion) {
		ttrpc_refuse(call, TTRPC_FAILED_PRECONDITION, "container %s is running",
			     container->id);
		return;
	}
	container->deletion = call;
	if (first->state == PROCESS_ENDED && first->output_done)
		answer_deletion(container);
	else if (first->state != PROCESS_ENDED)
		(void)SYS(kill, first->pid, SIGKILL);
}

void container_kill_all(struct agent *agent)
{
	for (struct container *one = agent->containers; one; one = one->next)
		(void)cgroup_kill(one->cgroup);
}

void container_reap(struct agent *agent, pid_t pid, int status)
{
	for (struct container *one = agent->containers; one; one = one->next) {
		for (struct process *process = one->processes; process; process = process->next) {
			if (process->pid == pid && process->state != PROCESS_ENDED) {
				process_end(process, status); /* may free both */
				return;
			}
		}
	}
}

bool container_any_alive(const struct agent *agent)
{
	for (const struct container *one = agent->containers; one; one = one->next)
		for (const struct process *process = one->processes; process;
		     process = process->next)
			if (process->state != PROCESS_ENDED)
				return true;
	return false;
}

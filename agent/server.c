#include "agent/server_private.h"

#include "agent/container.h"
#include "agent/devices.h"
#include "agent/kernel.h"
#include "agent/message.h"
#include "agent/sandbox.h"
#include "agent/terminal.h"
#include "agent/update.h"
#include "agent/validate.h"
#include "base/own.h"
#include "base/sys.h"
#include <signal.h>
#include <string.h>
#include <sys/utsname.h>

/* SetUpSandbox makes its containers one after another; this is where it is. */
struct set_up {
	struct agent *agent;
	struct ttrpc_call *call;
	const message_sandbox *message; /* the call's */
	size_t next;
	Katavm__Agent__V1__CreateContainerResponse *created, **created_list;
	message_started *started;
};

void server_refuse(struct ttrpc_call *call, const struct error *err)
{
	static const struct {
		int error;
		enum ttrpc_code code;
	} table[] = {
		{ -EINVAL, TTRPC_INVALID_ARGUMENT },   { -EEXIST, TTRPC_ALREADY_EXISTS },
		{ -ESRCH, TTRPC_FAILED_PRECONDITION }, { -EPROTO, TTRPC_FAILED_PRECONDITION },
		{ -ENOMEM, TTRPC_RESOURCE_EXHAUSTED }, { -EOPNOTSUPP, TTRPC_UNIMPLEMENTED },
	};
	enum ttrpc_code code = TTRPC_UNKNOWN;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].error == err->code)
			code = table[i].code;
	ttrpc_refuse(call, code, "%s", err->text);
}

void server_answer_empty(struct ttrpc_call *call)
{
	Katavm__Agent__V1__Empty empty;

	katavm__agent__v1__empty__init(&empty);
	ttrpc_answer(call, &empty.base);
}

static void fill_started(message_started *started, const struct process *process,
			 const struct process_outcome *outcome)
{
	katavm__agent__v1__start_process_response__init(started);
	started->pid = (uint32_t)process->pid;
	started->exec_ns = outcome->exec_ns;
	if (outcome->exec_failed) {
		started->exec_errno = -outcome->failure.code;
		started->message = (char *)(uintptr_t)outcome->failure.text;
	}
}

static bool failed_before_exec(const struct process_outcome *outcome)
{
	return outcome->failure.code < 0 && !outcome->exec_failed;
}

/* A first process that never ran takes its container along. */
static void note_failure(struct process *process, const struct process_outcome *outcome)
{
	if (outcome->failure.code < 0 && process == process->container->first)
		process->container->failed = true;
}

static void exec_decided(void *context, struct process *process,
			 const struct process_outcome *outcome)
{
	struct ttrpc_call *call = context;
	message_started started;

	note_failure(process, outcome);
	if (failed_before_exec(outcome)) {
		server_refuse(call, &outcome->failure);
		return;
	}
	fill_started(&started, process, outcome);
	ttrpc_answer(call, &started.base);
}

/* Nobody asks any more: a container waiting for its start was deleted. */
static void start_decided(void *context, struct process *process,
			  const struct process_outcome *outcome)
{
	(void)context;
	note_failure(process, outcome);
}

static void create_decided(void *context, struct process *process,
			   const struct process_outcome *outcome)
{
	struct ttrpc_call *call = context;
	Katavm__Agent__V1__CreateContainerResponse response;
	message_started started;

	note_failure(process, outcome);
	process->decided = start_decided;
	if (failed_before_exec(outcome)) {
		server_refuse(call, &outcome->failure);
		return;
	}
	katavm__agent__v1__create_container_response__init(&response);
	fill_started(&started, process, outcome);
	response.started = outcome->ready ? NULL : &started;
	ttrpc_answer(call, &response.base);
}

static void free_set_up(struct set_up *set_up)
{
	free(set_up->created);
	free(set_up->created_list);
	for (size_t i = 0; set_up->started && i < set_up->next; i++)
		free(set_up->started[i].message != protobuf_c_empty_string
			 ? set_up->started[i].message
			 : NULL);
	free(set_up->started);
	free(set_up);
}

static void set_up_failed(struct set_up *set_up, const struct error *err)
{
	struct error named;

	(void)error_set(&named, err->code, "container %.64s: %.160s",
			set_up->message->containers[set_up->next]->id, err->text);
	server_refuse(set_up->call, &named);
	free_set_up(set_up);
}

static void set_up_done(struct set_up *set_up)
{
	Katavm__Agent__V1__SetUpSandboxResponse response;
	const struct agent *agent = set_up->agent;
	static char version[] = KATAVM_VERSION;
	struct utsname names;

	katavm__agent__v1__set_up_sandbox_response__init(&response);
	response.agent_version = version;
	if (SYS(uname, &names) == 0)
		response.kernel_release = names.release;
	response.agent_main_ns = agent->main_ns;
	response.agent_hello_ns = agent->hello_ns;
	response.answer_ns = kernel_boottime_ns();
	response.containers = set_up->created_list;
	response.n_containers = set_up->message->n_containers;
	ttrpc_answer(set_up->call, &response.base);
	devices_look_later(set_up->agent);
	free_set_up(set_up);
}

static void set_up_next(struct set_up *set_up);

static void set_up_decided(void *context, struct process *process,
			   const struct process_outcome *outcome)
{
	struct set_up *set_up = context;
	Katavm__Agent__V1__CreateContainerResponse *created = &set_up->created[set_up->next];
	message_started *started = &set_up->started[set_up->next];

	note_failure(process, outcome);
	process->decided = start_decided;
	if (failed_before_exec(outcome)) {
		set_up_failed(set_up, &outcome->failure);
		return;
	}
	katavm__agent__v1__create_container_response__init(created);
	fill_started(started, process, outcome);
	if (outcome->exec_failed) /* the outcome ends with the process */
		started->message = strdup(outcome->failure.text);
	created->started = outcome->ready ? NULL : started;
	set_up->created_list[set_up->next++] = created;
	set_up_next(set_up);
}

static void set_up_next(struct set_up *set_up)
{
	struct error err = { 0 };

	if (set_up->next == set_up->message->n_containers)
		set_up_done(set_up);
	else if (container_create(set_up->agent, set_up->message->containers[set_up->next],
				  set_up_decided, set_up, &err) < 0)
		set_up_failed(set_up, &err);
}

static void on_set_up(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const message_sandbox *message = (const void *)request;
	size_t count = message->n_containers;
	struct agent *agent = context;
	struct error err = { 0 };
	struct set_up *set_up;

	if (agent->set_up) {
		ttrpc_refuse(call, TTRPC_FAILED_PRECONDITION, "the sandbox is set up already");
		return;
	}
	if (validate_sandbox(message, &err) < 0 || sandbox_set_up(message, &err) < 0) {
		server_refuse(call, &err);
		return;
	}
	set_up = calloc(1, sizeof *set_up);
	if (set_up) {
		set_up->created = calloc(count + 1, sizeof *set_up->created);
		set_up->created_list = calloc(count + 1, sizeof(void *));
		set_up->started = calloc(count + 1, sizeof *set_up->started);
	}
	if (!set_up || !set_up->created || !set_up->created_list || !set_up->started) {
		if (set_up)
			free_set_up(set_up);
		ttrpc_refuse(call, TTRPC_RESOURCE_EXHAUSTED, "no memory to set up the sandbox");
		return;
	}
	agent->set_up = true;
	set_up->agent = agent;
	set_up->call = call;
	set_up->message = message;
	set_up_next(set_up);
}

static void on_create(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const message_container *message = (const void *)request;
	struct agent *agent = context;
	struct error err = { 0 };

	if (!agent->set_up)
		ttrpc_refuse(call, TTRPC_FAILED_PRECONDITION, "the sandbox is not set up");
	else if (validate_container(message, &err) < 0 ||
		 container_create(agent, message, create_decided, call, &err) < 0)
		server_refuse(call, &err);
}

struct container *server_find_container(struct agent *agent, const char *id,
					struct ttrpc_call *call)
{
	struct container *container = container_find(agent, id);

	if (!container)
		ttrpc_refuse(call, TTRPC_NOT_FOUND, "container %.128s does not exist", id);
	return container;
}

/* The process named, or NULL and the call refused. living: an ended one is as good as none. */
static struct process *find_process(struct agent *agent, const char *id, const char *exec_id,
				    bool living, struct ttrpc_call *call)
{
	struct container *container = server_find_container(agent, id, call);
	struct process *process;

	if (!container)
		return NULL;
	process = container_find_process(container, exec_id);
	if (!process) {
		ttrpc_refuse(call, TTRPC_NOT_FOUND, "process %.128s does not exist", exec_id);
		return NULL;
	}
	if (living && process->state == PROCESS_ENDED) {
		ttrpc_refuse(call, TTRPC_NOT_FOUND, "process already finished");
		return NULL;
	}
	return process;
}

static void on_start(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__StartContainerRequest *message = (const void *)request;
	struct process *process = find_process(context, message->container_id, "", true, call);

	if (!process)
		return;
	if (process->state != PROCESS_READY) {
		ttrpc_refuse(call, TTRPC_FAILED_PRECONDITION, "container %.128s is not waiting",
			     message->container_id);
		return;
	}
	process->decided = exec_decided;
	process->context = call;
	(void)process_let_start(process); /* a process that is gone says so itself */
}

static void on_exec(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__ExecProcessRequest *message = (const void *)request;
	struct container *container = server_find_container(context, message->container_id, call);
	struct error err = { 0 };

	if (!container)
		return;
	if (validate_exec(message, &err) < 0 ||
	    container_exec(container, message->exec_id, message->process, exec_decided, call,
			   &err) < 0)
		server_refuse(call, &err);
}

static void on_wait(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__WaitProcessRequest *message = (const void *)request;
	struct process *process =
	    find_process(context, message->container_id, message->exec_id, false, call);

	if (process)
		container_wait(process->container, process, call);
}

static void on_signal(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__SignalProcessRequest *message = (const void *)request;
	struct error err = { 0 };
	struct process *process;
	int r;

	if (validate_signal(message, &err) < 0) {
		server_refuse(call, &err);
		return;
	}
	process = find_process(context, message->container_id, message->exec_id, true, call);
	if (!process)
		return;
	r = message->all ? container_signal_all(process->container, (int)message->signal)
			 : (int)SYS(kill, process->pid, (int)message->signal);
	if (r < 0)
		ttrpc_refuse(call, TTRPC_UNKNOWN, "signal %u: %s", message->signal, sys_text(r));
	else
		server_answer_empty(call);
}

static void on_resize(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__ResizeTerminalRequest *message = (const void *)request;
	struct process *process =
	    find_process(context, message->container_id, message->exec_id, true, call);
	int r;

	if (!process)
		return;
	if (process->stdio.terminal < 0) {
		ttrpc_refuse(call, TTRPC_FAILED_PRECONDITION, "the process has no terminal");
		return;
	}
	if (message->rows > UINT16_MAX || message->columns > UINT16_MAX) {
		ttrpc_refuse(call, TTRPC_INVALID_ARGUMENT, "rows and columns: beyond 65535");
		return;
	}
	r = terminal_resize(process->stdio.terminal, message->rows, message->columns);
	if (r < 0)
		ttrpc_refuse(call, TTRPC_UNKNOWN, "resize the terminal: %s", sys_text(r));
	else
		server_answer_empty(call);
}

static void on_close_stdin(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__CloseStdinRequest *message = (const void *)request;
	struct process *process =
	    find_process(context, message->container_id, message->exec_id, true, call);

	if (!process)
		return;
	streams_close_input(&process->stdio);
	server_answer_empty(call);
}

static void on_delete(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__DeleteContainerRequest *message = (const void *)request;
	struct container *container = server_find_container(context, message->container_id, call);

	if (container)
		container_delete(container, call);
}

static void on_write_file(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__WriteFileRequest *message = (const void *)request;
	const struct container *container =
	    server_find_container(context, message->container_id, call);
	struct error err;
	int r;

	if (!container)
		return;
	r = validate_file(message->file, &err);
	if (r < 0) {
		ttrpc_refuse(call, TTRPC_INVALID_ARGUMENT, "%s", err.text);
		return;
	}
	r = container_write_file(container, message->file, &err);
	if (r < 0)
		ttrpc_refuse(call, TTRPC_FAILED_PRECONDITION, "%s", err.text);
	else
		server_answer_empty(call);
}

static void on_update(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const message_update *message = (const void *)request;
	struct error err = { 0 };

	if (validate_resources(message->resources, &err) < 0)
		server_refuse(call, &err);
	else
		update_container(context, message, call);
}

static void on_set_time(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__SetTimeRequest *message = (const void *)request;
	int r = sandbox_set_time(message->realtime_ns, message->smooth);

	(void)context;
	if (r < 0)
		ttrpc_refuse(call, TTRPC_INVALID_ARGUMENT, "realtime_ns: %s", sys_text(r));
	else
		server_answer_empty(call);
}

static void on_reseed(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__ReseedRandomRequest *message = (const void *)request;
	int r = sandbox_add_entropy(message->entropy.data, message->entropy.len);

	(void)context;
	if (r < 0)
		ttrpc_refuse(call, TTRPC_UNKNOWN, "add entropy: %s", sys_text(r));
	else
		server_answer_empty(call);
}

static void on_shut_down(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__ShutDownRequest *message = (const void *)request;

	sandbox_shut_down(context, call, message->reboot);
}

struct ttrpc_service server_service(struct agent *agent)
{
	static ttrpc_handler_fn *const handlers[] = {
		/* in the order of agent.proto */
		on_set_up,
		on_create,
		on_start,
		on_exec,
		on_wait,
		on_signal,
		on_resize,
		on_close_stdin,
		on_delete,
		on_write_file,
		on_update,
		on_set_time,
		on_reseed,
		server_find_devices,
		server_release_device,
		server_attach_disk,
		server_detach_disk,
		on_shut_down,
	};

	return (struct ttrpc_service){ .descriptor = &katavm__agent__v1__agent__descriptor,
				       .handlers = handlers,
				       .context = agent };
}

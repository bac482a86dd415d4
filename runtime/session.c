/*
 * One thread, one poll loop over three descriptors: the VM's events, the agent's answers, signals.
 * The process's output does not pass here: the VMM moves it straight to descriptors 1 and 2. The
 * end is reached when the agent has answered the wait for the process *and* the VMM has said of
 * each output stream that its last byte was written.
 */
#include "runtime/session.h"

#include "base/own.h"
#include "base/sys.h"
#include "base/text.h"
#include "runtime/containers.h"
#include "runtime/session_disks.h"
#include "runtime/session_methods.h"
#include "runtime/session_names.h"
#include "runtime/session_private.h"
#include "runtime/spec.h"
#include "runtime/state.h"
#include "runtime/terminal.h"
#include "runtime/watchdog.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { ENTROPY_BYTES = 64, EVENTS_A_TURN = 4096 };

const ProtobufCServiceDescriptor *session_service(void)
{
	return &katavm__agent__v1__agent__descriptor;
}

void session_say(const struct session *session, const char *text)
{
	char line[SESSION_LINE_MAX];

	(void)snprintf(line, sizeof line, "%s", text);
	text_make_printable(line); /* a guest and its VMM have a part in some */
	/* in raw mode a line feed alone does not return to the line's start */
	(void)fprintf(stderr, "katavm: %s%s", line,
		      session->terminal.watch_fd >= 0 ? "\r\n" : "\n");
}

void session_finish(struct session *session, int status)
{
	session->status = status;
	session->done = true;
}

/* --- the agent's answers --- */

static void on_process_end(void *context, const struct ttrpc_reply *reply)
{
	struct session *session = context;
	const Katavm__Agent__V1__WaitProcessResponse *answer;

	if (session->done) /* it never started, which is said already */
		return;
	if (!reply->response) {
		session_fail_agent(session, "wait for the process", reply);
		return;
	}
	answer = (const void *)reply->response;
	trace_stage(session->input->trace, "exit_seen", sys_monotonic_ns());
	session->status = answer->signal ? SESSION_SIGNAL + (int)(answer->signal & 127)
					 : (int)(answer->exit_code & 255);
	if (answer->oom_killed && session->status == SESSION_SIGNAL + SIGKILL) {
		char line[160];

		(void)snprintf(line, sizeof line,
			       "the container ran out of memory and was killed (its limit is "
			       "%llu MiB: --memory)",
			       (unsigned long long)(session->input->sandbox->memory_bytes >> 20));
		session_say(session, line);
	}
	session->exited = true;
	session->deadline_ns = 0;
	session_misses(session, MISSING_CLOSE);
	session_end_if_written(session);
}

static void trace_start(const struct session *session,
			const Katavm__Agent__V1__SetUpSandboxResponse *answer, uint64_t exec_ns)
{
	const struct trace *trace = session->input->trace;
	uint64_t offset = session->hello.time_ns - answer->agent_hello_ns; /* guest to host */

	if (trace->fd < 0)
		return;
	trace_stage(trace, "guest_entry", session->hello.entered_ns);
	trace_stage(trace, "guest_init", answer->agent_main_ns + offset);
	trace_stage(trace, "agent_hello", session->hello.time_ns);
	trace_stage(trace, "process_exec", exec_ns + offset);
	trace_count(trace, "exits_to_hello", session->hello.exits);
	trace_count(trace, "guest_touched_kib", session->hello.memory_kib);
	trace_count(trace, "vmm_private_kib",
		    trace_private_kib(vmm_pid(session->input->sandbox->vmm)));
}

static int status_of_exec(int error_number)
{
	if (error_number == ENOENT)
		return SESSION_NOT_FOUND;
	if (error_number == EACCES || error_number == ENOEXEC || error_number == EISDIR ||
	    error_number == EPERM || error_number == ENOTDIR || error_number == ELOOP)
		return SESSION_NOT_EXECUTABLE;
	return SESSION_FAILED;
}

static void wait_for_process(struct session *session)
{
	Katavm__Agent__V1__WaitProcessRequest request =
	    KATAVM__AGENT__V1__WAIT_PROCESS_REQUEST__INIT;
	int result;

	request.container_id = session->input->container->id;
	result = ttrpc_client_call(session->input->sandbox->agent, session_service(), "WaitProcess",
				   &request.base, 0, on_process_end, session);
	if (result < 0)
		session_fail_vm(session, sys_text(result));
}

static void on_set_up(void *context, const struct ttrpc_reply *reply)
{
	struct session *session = context;
	const Katavm__Agent__V1__SetUpSandboxResponse *answer;
	const Katavm__Agent__V1__StartProcessResponse *process;

	if (!reply->response) {
		session_fail_agent(session, "set up the container", reply);
		return;
	}
	shares_filled(session->input->shares);
	answer = (const void *)reply->response;
	process = answer->n_containers == 1 ? answer->containers[0]->started : NULL;
	if (!process) {
		session_say(session, "the agent's answer is not about the container");
		session_finish(session, SESSION_FAILED);
		return;
	}
	if (process->exec_errno != 0) {
		session_say(session,
			    *process->message ? process->message : "the command did not start");
		session_finish(session, status_of_exec(process->exec_errno));
		return;
	}
	session->started = true;
	session->deadline_ns = 0;
	trace_start(session, answer, process->exec_ns);
	containers_sweep(); /* now there is time for it */
	watchdog_start(&session->watchdog);
	if (session->input->config->terminal)
		session_correct_size(session);
}

/* Everything the guest needs, in one message; the wait for the process follows at once. */
static void send_container(struct session *session)
{
	Katavm__Agent__V1__SetUpSandboxRequest request =
	    KATAVM__AGENT__V1__SET_UP_SANDBOX_REQUEST__INIT;
	Katavm__Agent__V1__CreateContainerRequest *containers[] = { session->input->container };
	uint8_t entropy[ENTROPY_BYTES];
	struct timespec now;
	int result;

	if (SYS(clock_gettime, CLOCK_REALTIME, &now) == 0)
		request.realtime_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (SYS_RETRY(getrandom, entropy, sizeof entropy, 0) == sizeof entropy) {
		request.entropy.data = entropy;
		request.entropy.len = sizeof entropy;
	}
	request.protocol_version = KATAVM__AGENT__V1__PROTOCOL_VERSION__PROTOCOL_VERSION_CURRENT;
	request.hostname = session->input->container->hostname;
	request.n_interfaces = session->input->net->interface_count;
	request.interfaces = session->input->interfaces;
	request.n_containers = 1;
	request.containers = containers;
	result = ttrpc_client_call(session->input->sandbox->agent, session_service(),
				   "SetUpSandbox", &request.base, 0, on_set_up, session);
	if (result < 0)
		session_fail_vm(session, sys_text(result));
	else
		wait_for_process(session); /* answered in the order of what happens */
}

/* --- the VM's events --- */

static void on_event(struct session *session, const struct vmm_event *event)
{
	bool output = event->port == SPEC_PORT_STDOUT || event->port == SPEC_PORT_STDERR;

	switch (event->kind) {
	case VMM_EVENT_CONNECTED:
		if (event->port == SPEC_PORT_CONTROL && !session->connected) {
			session->connected = true;
			session->hello = *event;
			send_container(session);
		}
		break;
	case VMM_EVENT_CLOSED:
		if (output && session->open_outputs > 0)
			session->open_outputs--;
		session_end_if_written(session);
		break;
	case VMM_EVENT_ENDED:
		session_vm_ended(session, event);
		break;
	case VMM_EVENT_DISK:
		session_disks_answered(session->input, event);
		break;
	}
}

/* More than are ever kept, and not without end: signals are to be heard of, too. */
static void take_events(struct session *session)
{
	struct vmm_event event;

	for (unsigned i = 0; i < EVENTS_A_TURN && !session->done &&
			     vmm_next_event(session->input->sandbox->vmm, &event) == 1;
	     i++)
		on_event(session, &event);
}

/* --- the loop --- */

static void say_later(void *context, const char *sentence)
{
	session_say(context, sentence);
}

static void watch_guest(struct session *session)
{
	if (watchdog_process(&session->watchdog) && session->input->config->watchdog_kills) {
		session_say(session, "ending the VM (--watchdog-kill)");
		session_finish(session, SESSION_FAILED);
	}
}

static void loop(struct session *session)
{
	struct ttrpc_client *agent = session->input->sandbox->agent;
	bool agent_gone = false;

	while (!session->done) {
		struct pollfd fds[] = {
			{ .fd = vmm_event_fd(session->input->sandbox->vmm), .events = POLLIN },
			{ .fd = session->signal_fd, .events = POLLIN },
			{ .fd = agent_gone ? -1 : ttrpc_client_fd(agent),
			  .events = ttrpc_client_events(agent) },
			{ .fd = monitor_fd(session->monitor), .events = POLLIN },
			{ .fd = watchdog_fd(&session->watchdog), .events = POLLIN },
			{ .fd = net_fd(session->input->net), .events = POLLIN },
		};
		(void)SYS(poll, fds, sizeof fds / sizeof fds[0], session_timeout_ms(session));
		if (fds[2].revents && ttrpc_client_process(agent) < 0) {
			agent_gone = true;
			session_misses(session, MISSING_AGENT);
		}
		if (fds[3].revents)
			monitor_process(session->monitor);
		if (fds[5].revents || (session->new_names && session->started))
			session->new_names =
			    session_watch_network(session->input, session->new_names,
						  session->started, say_later, session);
		take_events(session);
		session_take_signals(session);
		if (!session->done)
			session_check_deadlines(session);
		if (!session->done)
			watch_guest(session);
	}
}

static int open_session(struct session *session, struct error *err)
{
	const struct session_input *input = session->input;
	int result = monitor_open(input->socket, session_methods, (void *)(uintptr_t)input,
				  &session->monitor, err);

	session->signal_fd = session_open_signals();
	if (result == 0 && session->signal_fd < 0)
		result = error_set(err, session->signal_fd, "no signalfd(2) on this host");
	if (result == 0 && input->config->terminal && input->config->interactive)
		result = terminal_open(STDIN_FILENO, &session->terminal, err);
	return result;
}

int session_run(const struct session_input *input)
{
	const struct run_config *config = input->config;
	struct session session = {
		.input = input,
		.terminal = TERMINAL_CLOSED,
		.signal_fd = -1,
		.deadline_ns = sys_monotonic_ns() + (uint64_t)config->timeout_seconds * 1000000000,
		.open_outputs = config->terminal ? 1 : 2,
		.watchdog = { .agent = input->sandbox->agent,
			      .limit_seconds = config->watchdog_seconds,
			      .say = say_later,
			      .context = &session },
	};
	struct error err;

	if (open_session(&session, &err) == 0) {
		loop(&session);
		terminal_close(&session.terminal);
	} else {
		session_say(&session, err.text);
		session.status = SESSION_FAILED;
	}
	watchdog_finish(&session.watchdog);
	monitor_close(session.monitor);
	own_fd_release(&session.signal_fd);
	return session.status;
}

/* A session whose VMM and agent are a thread at the other ends of its sockets, and do not all that
 * they should. */
#include "agent/protocol/ttrpc_server.h"
#include "base/own.h"
#include "base/sys.h"
#include "runtime/session.h"
#include "runtime/spec.h"
#include "vmm/process_private.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
	METHODS = 18,
	SET_UP = 0,
	WAIT = 4,
	SIGNAL = 5,
	RESIZE = 6,
	NOBODY = 65534,
	ANSWER_MAX = 64 << 10
};

enum act { /* of the guest, once its process runs */
	   ENDS,
	   KEEPS_OUTPUT_OPEN,
	   CLOSES_CONNECTION,
	   IS_TOLD_TO_STOP, /* and does not */
};

static struct scene {
	enum act act;
	bool vmm_is_dead; /* it answers nothing */
	int vmm;          /* the VMM's end */
	struct ttrpc_server *server;
	struct ttrpc_call *wait;
	bool leaves;
	unsigned signals[2], signal_count, resized, ends_asked;
} scene;

static void send_event(enum vmm_event_kind kind, uint32_t port, enum vmm_end end)
{
	struct control_message message = { .kind = CONTROL_EVENT };

	message.body.event = (struct vmm_event){ .kind = kind, .port = port, .end = end };
	(void)control_send(scene.vmm, &message, NULL, 0);
}

static void send_result(enum control_kind kind, uint32_t number, int code)
{
	struct control_message message = { .kind = kind, .number = number };

	message.body.result.code = code;
	(void)control_send(scene.vmm, &message, NULL, 0);
}

static void on_set_up(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	Katavm__Agent__V1__SetUpSandboxResponse answer;
	Katavm__Agent__V1__CreateContainerResponse container, *containers[] = { &container };
	Katavm__Agent__V1__StartProcessResponse process;

	(void)context;
	(void)request;
	katavm__agent__v1__set_up_sandbox_response__init(&answer);
	katavm__agent__v1__create_container_response__init(&container);
	katavm__agent__v1__start_process_response__init(&process);
	container.started = &process;
	answer.n_containers = 1;
	answer.containers = containers;
	ttrpc_answer(call, &answer.base);
}

static void answer_wait(void)
{
	Katavm__Agent__V1__WaitProcessResponse answer;

	katavm__agent__v1__wait_process_response__init(&answer);
	answer.exit_code = 3;
	ttrpc_answer(take_ptr(scene.wait), &answer.base);
}

/* It comes behind the question that starts the process. */
static void on_wait(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	(void)context;
	(void)request;
	scene.wait = call;
	switch (scene.act) {
	case ENDS:
		answer_wait();
		send_event(VMM_EVENT_CLOSED, SPEC_PORT_STDOUT, 0);
		break;
	case KEEPS_OUTPUT_OPEN:
		answer_wait();
		break;
	case CLOSES_CONNECTION:
		scene.leaves = true;
		break;
	case IS_TOLD_TO_STOP: /* on_resize */
		break;
	}
}

/* The session knows that the process runs: its terminal was made with another size. */
static void on_resize(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	Katavm__Agent__V1__Empty empty = KATAVM__AGENT__V1__EMPTY__INIT;

	(void)context;
	(void)request;
	scene.resized++;
	ttrpc_answer(call, &empty.base);
	if (scene.act == IS_TOLD_TO_STOP)
		(void)kill(getpid(), SIGTERM);
}

static void on_signal(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	Katavm__Agent__V1__Empty empty = KATAVM__AGENT__V1__EMPTY__INIT;

	(void)context;
	if (scene.signal_count < 2)
		scene.signals[scene.signal_count++] =
		    ((const Katavm__Agent__V1__SignalProcessRequest *)(const void *)request)
			->signal;
	ttrpc_answer(call, &empty.base);
}

/* False: the session is over. */
static bool serve_control(void)
{
	struct control_message message;
	int fds[PACKET_MAX_FDS], r;
	size_t count = 0;

	r = control_receive(scene.vmm, true, &message, fds, &count);
	for (size_t i = 0; r == 1 && i < count; i++)
		close_fd(&fds[i]);
	if (r != 1)
		return false;
	if (message.kind == CONTROL_END_GUEST)
		scene.ends_asked++;
	if (scene.vmm_is_dead)
		return true;
	if (message.kind == CONTROL_DUMP_LOG)
		send_result(CONTROL_DUMPED, message.number, -ENODATA);
	if (message.kind == CONTROL_END_GUEST) {
		send_result(CONTROL_IS_ENDING, message.number, 0);
		send_event(VMM_EVENT_ENDED, 0, VMM_END_ASKED);
	}
	return true;
}

static void leave(void)
{
	ttrpc_server_destroy(take_ptr(scene.server));
	if (scene.wait)
		answer_wait(); /* to nobody */
}

static void *play(void *unused)
{
	bool goes_on = true;

	send_event(VMM_EVENT_CONNECTED, SPEC_PORT_CONTROL, 0);
	while (goes_on) {
		struct pollfd fds[] = {
			{ .fd = scene.vmm, .events = POLLIN },
			{ .fd = scene.server ? ttrpc_server_fd(scene.server) : -1,
			  .events = POLLIN },
		};

		(void)SYS(poll, fds, 2, -1);
		if (fds[1].revents && ttrpc_server_process(scene.server) < 0)
			scene.leaves = true;
		if (scene.leaves && scene.server)
			leave();
		if (fds[0].revents)
			goes_on = serve_control();
	}
	if (scene.server)
		leave();
	return unused;
}

static struct vmm vmm;

static void open_scene(struct sandbox *sandbox)
{
	static ttrpc_handler_fn *const handlers[METHODS] = {
		[SET_UP] = on_set_up, [WAIT] = on_wait, [SIGNAL] = on_signal, [RESIZE] = on_resize
	};
	static const struct ttrpc_service service = { .descriptor =
							  &katavm__agent__v1__agent__descriptor,
						      .handlers = handlers };
	int control[2], agent[2];

	cr_assert_eq(service.descriptor->n_methods, METHODS);
	cr_assert_str_eq(service.descriptor->methods[RESIZE].name, "ResizeTerminal");
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent), 0);
	vmm = (struct vmm){ .socket = control[0],
			    .kvm_fd = -EBADF,
			    .limit_ms = scene.vmm_is_dead ? 1 : 60000,
			    .child = { .pidfd = -EBADF } };
	scene.vmm = control[1];
	sandbox->vmm = &vmm;
	cr_assert_eq(ttrpc_client_create(agent[0], ANSWER_MAX, &sandbox->agent), 0);
	cr_assert_eq(ttrpc_server_create(agent[1], &service, 1, &scene.server), 0);
}

/* Its state goes into a folder of its own. */
static void make_folder(char folder[32])
{
	if (geteuid() == 0)
		cr_assert_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
	(void)strcpy(folder, "/tmp/session.XXXXXX");
	cr_assert(mkdtemp(folder));
	cr_assert_eq(setenv("XDG_RUNTIME_DIR", folder, 1), 0);
}

static int run(enum act act, bool vmm_is_dead)
{
	static char id[] = "0123456789ab0123456789ab0123456789ab0123456789ab0123456789ab0123";
	const struct run_config config = { .terminal = true, .timeout_seconds = 600 };
	const struct trace trace = { .fd = -1 };
	static struct image image;
	static struct net net;
	static struct shares shares;
	Katavm__Agent__V1__CreateContainerRequest container;
	Katavm__Agent__V1__Process process;
	struct sandbox sandbox = { 0 };
	char folder[32], socket[64], command[64];
	sigset_t all;
	pthread_t thread;
	int status;

	katavm__agent__v1__create_container_request__init(&container);
	katavm__agent__v1__process__init(&process);
	process.rows = 77; /* no terminal's here */
	container.id = id;
	container.process = &process;
	make_folder(folder);
	(void)snprintf(socket, sizeof socket, "%s/socket", folder);
	scene = (struct scene){ .act = act, .vmm_is_dead = vmm_is_dead };
	open_scene(&sandbox);
	(void)sigfillset(&all); /* also the thread's: signals are for the session */
	cr_assert_eq(sigprocmask(SIG_BLOCK, &all, NULL), 0);
	cr_assert_eq(pthread_create(&thread, NULL, play, NULL), 0);
	status = session_run(&(struct session_input){ .config = &config,
						      .image = &image,
						      .sandbox = &sandbox,
						      .container = &container,
						      .net = &net,
						      .shares = &shares,
						      .trace = &trace,
						      .socket = socket });
	(void)shutdown(vmm.socket, SHUT_RDWR);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	ttrpc_client_destroy(sandbox.agent);
	close(vmm.socket);
	close(scene.vmm);
	(void)snprintf(command, sizeof command, "rm -r %s", folder);
	cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c): a name of our own */
	return status;
}

Test(session, a_guest_that_does_as_it_should)
{
	cr_assert_eq(run(ENDS, false), 3);
	cr_assert_eq(scene.resized, 1);
	cr_assert_eq(scene.ends_asked, 0);
}

Test(session, output_that_stays_open_is_not_waited_for)
{
	cr_assert_eq(run(KEEPS_OUTPUT_OPEN, false), 3);
	cr_assert_eq(scene.ends_asked, 1);
}

Test(session, without_its_agent_a_guest_is_ended)
{
	cr_assert_eq(run(CLOSES_CONNECTION, false), SESSION_FAILED);
	cr_assert_eq(scene.ends_asked, 1);
}

Test(session, a_process_that_survives_sigkill_is_ended_with_its_vm)
{
	cr_assert_eq(run(IS_TOLD_TO_STOP, false), SESSION_SIGNAL + SIGKILL);
	cr_assert_eq(scene.signals[0], SIGTERM);
	cr_assert_eq(scene.signals[1], SIGKILL);
	cr_assert_eq(scene.ends_asked, 1);
}

Test(session, also_when_the_vmm_stands_still)
{
	cr_assert_eq(run(IS_TOLD_TO_STOP, true), SESSION_SIGNAL + SIGKILL);
	cr_assert_eq(run(KEEPS_OUTPUT_OPEN, true), 3);
}

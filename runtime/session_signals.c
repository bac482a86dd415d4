/* Signals that katavm is sent, and what the process in the container gets of them. */
#include "base/sys.h"
#include "runtime/session_private.h"
#include "runtime/spec.h"

#include <signal.h>
#include <sys/signalfd.h>

static const int forwarded[] = { SIGHUP,  SIGINT,   SIGQUIT, SIGTERM, SIGUSR1,
				 SIGUSR2, SIGWINCH, SIGALRM, SIGPWR };

static void ignore_reply(void *context, const struct ttrpc_reply *reply)
{
	(void)context;
	(void)reply;
}

void session_signal_process(struct session *session, int number)
{
	Katavm__Agent__V1__SignalProcessRequest request =
	    KATAVM__AGENT__V1__SIGNAL_PROCESS_REQUEST__INIT;

	request.container_id = session->input->container->id;
	request.signal = (uint32_t)number;
	(void)ttrpc_client_call(session->input->sandbox->agent, session_service(), "SignalProcess",
				&request.base, 0, ignore_reply, session);
}

static void resize_terminal(struct session *session, unsigned short rows, unsigned short columns)
{
	Katavm__Agent__V1__ResizeTerminalRequest request =
	    KATAVM__AGENT__V1__RESIZE_TERMINAL_REQUEST__INIT;

	request.container_id = session->input->container->id;
	request.rows = rows;
	request.columns = columns;
	(void)ttrpc_client_call(session->input->sandbox->agent, session_service(), "ResizeTerminal",
				&request.base, 0, ignore_reply, session);
}

void session_correct_size(struct session *session)
{
	const Katavm__Agent__V1__Process *process = session->input->container->process;
	unsigned short rows, columns;

	terminal_size(STDIN_FILENO, &rows, &columns);
	if (rows != process->rows || columns != process->columns)
		resize_terminal(session, rows, columns);
}

static void on_new_size(struct session *session)
{
	unsigned short rows, columns;

	if (!session->started || !session->input->config->terminal)
		return; /* session_correct_size */
	terminal_size(STDIN_FILENO, &rows, &columns);
	resize_terminal(session, rows, columns);
}

static void stop_process(struct session *session, int number)
{
	const struct run_config *config = session->input->config;

	session_signal_process(
	    session,
	    number == SIGTERM ? spec_stop_signal(config, &session->input->image->config) : number);
	if (number == SIGTERM && config->stop_seconds >= 0 && session->kill_ns == 0)
		session->kill_ns =
		    sys_monotonic_ns() + (uint64_t)config->stop_seconds * 1000000000 + 1;
}

static void on_signal(struct session *session, int number)
{
	bool stops = number == SIGINT || number == SIGTERM || number == SIGQUIT || number == SIGHUP;

	if (number == SIGWINCH) {
		on_new_size(session);
	} else if (impatience_is_over(&session->impatience, number, sys_monotonic_ns())) {
		session_say(session, "asked to stop for the third time: ending the VM");
		session_finish(session, SESSION_SIGNAL + number);
	} else if (session->started) {
		stop_process(session, number);
	} else if (stops) { /* nothing is there yet that could take it */
		session_finish(session, SESSION_SIGNAL + number);
	}
}

void session_take_signals(struct session *session)
{
	struct signalfd_siginfo info;

	while (!session->done &&
	       SYS_RETRY(read, session->signal_fd, &info, sizeof info) == sizeof info)
		on_signal(session, (int)info.ssi_signo);
}

int session_open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++)
		(void)sigaddset(&set, forwarded[i]);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return (int)SYS(signalfd, -1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

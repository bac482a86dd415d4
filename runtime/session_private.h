#pragma once
#include "runtime/impatience.h"
#include "runtime/monitor.h"
#include "runtime/session.h"
#include "runtime/terminal.h"
#include "runtime/watchdog.h"

/* Shared by the files of a session; nobody else includes it.
 *   session.c          the loop, the agent's answers, the VM's events
 *   session_signals.c  signals */
struct session {
	const struct session_input *input;
	struct terminal terminal;
	struct monitor *monitor;
	struct watchdog watchdog;
	int signal_fd;
	uint64_t deadline_ns; /* of what is waited for; 0: none */
	uint64_t kill_ns;     /* when the process is killed because it did not stop; 0: never */
	struct impatience impatience;
	unsigned open_outputs;
	bool connected, started, exited, done, new_names;
	int status;
	struct vmm_event hello; /* of the control connection */
};

const ProtobufCServiceDescriptor *session_service(void);

/* A line for the user. */
void session_say(const struct session *session, const char *text);

/* The loop ends with this exit status. */
void session_finish(struct session *session, int status);

/* ---- session_signals.c ---- */

/* Blocks what is forwarded and gives the signalfd, or -errno. */
int session_open_signals(void);
void session_take_signals(struct session *session);
/* To the process in the container. */
void session_signal_process(struct session *session, int number);
/* The container is there: its terminal gets the size that the caller's has now, if it is another
 * than it was made with. */
void session_correct_size(struct session *session);

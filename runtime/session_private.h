#pragma once
#include "runtime/impatience.h"
#include "runtime/monitor.h"
#include "runtime/session.h"
#include "runtime/terminal.h"
#include "runtime/watchdog.h"
#include <limits.h>

/* Shared by the files of a session; nobody else includes it.
 *   session.c          the loop, the agent's answers, the VM's events
 *   session_end.c      ways to end, deadlines
 *   session_signals.c  signals */

/* What the guest ought to do and has not done yet. */
enum session_missing {
	MISSING_NOTHING,
	MISSING_EXIT,  /* of a process that got SIGKILL */
	MISSING_CLOSE, /* of the output of a process that has ended */
	MISSING_AGENT, /* which is gone while the process was not known to have ended */
};

struct session {
	const struct session_input *input;
	struct terminal terminal;
	struct monitor *monitor;
	struct watchdog watchdog;
	int signal_fd;
	uint64_t deadline_ns; /* of what is waited for; 0: none */
	uint64_t kill_ns;     /* when the process is killed because it did not stop; 0: never */
	uint64_t give_up_ns;  /* when what is missing is given up; 0: never */
	enum session_missing missing;
	struct impatience impatience;
	unsigned open_outputs;
	bool connected, started, exited, given_up, done, new_names;
	int status;
	struct vmm_event hello; /* of the control connection */
};

const ProtobufCServiceDescriptor *session_service(void);

/* A line for the user. Whatever it quotes, it moves no cursor. */
enum { SESSION_LINE_MAX = PATH_MAX + 80 };
void session_say(const struct session *session, const char *text);

/* The loop ends with this exit status. */
void session_finish(struct session *session, int status);

/* ---- session_end.c ---- */

/* A line, and the exit status that says that katavm could not run the container. */
void session_fail_vm(struct session *session, const char *text);
void session_fail_agent(struct session *session, const char *step, const struct ttrpc_reply *reply);
/* Ends well if the process has ended and its output is written. */
void session_end_if_written(struct session *session);
/* The guest has to do this within seconds, or is ended. */
void session_misses(struct session *session, enum session_missing what);
void session_vm_ended(struct session *session, const struct vmm_event *event);
/* For poll(2), until session_check_deadlines or others have something to do. */
int session_timeout_ms(const struct session *session);
void session_check_deadlines(struct session *session);

/* ---- session_signals.c ---- */

/* Blocks what is forwarded and gives the signalfd, or -errno. */
int session_open_signals(void);
void session_take_signals(struct session *session);
/* To the process in the container. */
void session_signal_process(struct session *session, int number);
/* The container is there: its terminal gets the size that the caller's has now, if it is another
 * than it was made with. */
void session_correct_size(struct session *session);

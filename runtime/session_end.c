/*
 * How a session ends, other than by its process. A guest need not do what it is told: it may hang,
 * or be hostile. What is missed from it is waited for some seconds more; then the VMM is to end it,
 * which keeps what the guest has sent until it is written. A VMM that does not even answer ends
 * with this process.
 */
#include "base/own.h"
#include "base/sys.h"
#include "runtime/session_private.h"
#include "runtime/state.h"

#include <signal.h>
#include <stdio.h>

#define PATIENCE_NS UINT64_C(10000000000)

static const char *const missed[] = {
	[MISSING_EXIT] = "the process has not ended 10 seconds after SIGKILL: its VM is ended",
	[MISSING_CLOSE] =
	    "the process has ended, and the guest keeps its output open: its VM is ended",
	[MISSING_AGENT] = "its agent has closed the connection",
};

/* Keeps the guest kernel's messages and says where. */
static void keep_boot_log(struct session *session)
{
	const char *id = session->input->config->id;
	char path[PATH_MAX], line[SESSION_LINE_MAX];
	struct error err;
	own_fd fd = -1;

	if (state_boot_log_open(id, &fd, path, sizeof path, &err) < 0)
		return;
	if (vmm_dump_log(session->input->sandbox->vmm, fd, &err) < 0) {
		(void)SYS(unlink, path);
		return;
	}
	(void)snprintf(line, sizeof line, "its kernel's messages: %s   (katavm logs --boot %.12s)",
		       path, id);
	session_say(session, line);
}

void session_fail_vm(struct session *session, const char *text)
{
	char line[320];

	(void)snprintf(
	    line, sizeof line, "%s: %s",
	    session->started ? "the VM ended under the container" : "the VM did not start", text);
	session_say(session, line);
	keep_boot_log(session);
	session_finish(session, SESSION_FAILED);
}

void session_fail_agent(struct session *session, const char *step, const struct ttrpc_reply *reply)
{
	char line[640];

	if (session->done || reply->error == -ECANCELED)
		return;
	if (reply->error < 0) /* the VM's own end comes with a better reason */
		return;
	(void)snprintf(line, sizeof line, "%s: %.500s", step, reply->text);
	session_say(session, line);
	session_finish(session, SESSION_FAILED);
}

void session_end_if_written(struct session *session)
{
	if (session->exited && session->open_outputs == 0)
		session_finish(session, session->status);
}

void session_misses(struct session *session, enum session_missing what)
{
	/* what a process does that has ended is not missed any more */
	if (session->given_up || (session->exited && what != MISSING_CLOSE) ||
	    (session->missing != MISSING_NOTHING && what != MISSING_CLOSE))
		return;
	session->missing = what;
	session->give_up_ns = sys_monotonic_ns() + PATIENCE_NS;
}

/* Said only now: a reader may have been slow, and the guest then had nothing to do with it. */
static void conclude(struct session *session)
{
	enum session_missing what = session->exited ? MISSING_CLOSE : session->missing;

	if (what == MISSING_AGENT) {
		session_fail_vm(session, missed[what]);
		return;
	}
	session_say(session, missed[what]);
	session_finish(session, session->exited ? session->status : SESSION_SIGNAL + SIGKILL);
}

static void give_up(struct session *session)
{
	struct error ignored;

	session->give_up_ns = 0;
	session->given_up = true;
	if (vmm_end_guest(session->input->sandbox->vmm, &ignored) < 0)
		conclude(session);
}

void session_vm_ended(struct session *session, const struct vmm_event *event)
{
	if (session->done)
		return;
	if (session->given_up && event->end == VMM_END_ASKED)
		conclude(session);
	else if (session->exited)
		session_finish(session, session->status);
	else
		session_fail_vm(session, event->text);
}

static int earlier(int left_ms, int right_ms)
{
	return left_ms < 0 || (right_ms >= 0 && right_ms < left_ms) ? right_ms : left_ms;
}

static int until(uint64_t deadline_ns)
{
	uint64_t now = deadline_ns ? sys_monotonic_ns() : 0;

	if (!deadline_ns)
		return -1;
	return deadline_ns <= now ? 0 : (int)((deadline_ns - now) / 1000000 + 1);
}

int session_timeout_ms(const struct session *session)
{
	int timeout = earlier(until(session->deadline_ns), until(session->kill_ns));

	timeout = earlier(timeout, until(session->give_up_ns));
	timeout = earlier(timeout, watchdog_timeout_ms(&session->watchdog));
	return earlier(timeout, ttrpc_client_timeout_ms(session->input->sandbox->agent));
}

void session_check_deadlines(struct session *session)
{
	char text[120];

	if (session->kill_ns && until(session->kill_ns) == 0) {
		session->kill_ns = 0;
		session_signal_process(session, SIGKILL);
		session_misses(session, MISSING_EXIT);
	}
	if (!session->done && session->give_up_ns && until(session->give_up_ns) == 0)
		give_up(session);
	if (session->done || !session->deadline_ns || until(session->deadline_ns) > 0)
		return;
	(void)snprintf(text, sizeof text, "%s within %u seconds (--timeout)",
		       session->connected ? "the agent has not answered"
					  : "the guest has not come up",
		       session->input->config->timeout_seconds);
	session_fail_vm(session, text);
}

#include "agent/process.h"

#include "agent/kernel.h"
#include "agent/report.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

/* A process's children may keep its output open after its end. While they are silent this long,
 * what the process itself wrote is through, and those who wait for it need not wait for them. */
enum { SILENCE_MS = 500 };

static void stop_reports(struct process *process)
{
	loop_unwatch(process->loop, &process->report_watch);
	own_fd_release(&process->report_watch.fd);
	process->report_watch.fd = -1;
}

static void decide(struct process *process)
{
	process->decided(process->context, process, &process->outcome);
}

/* The socket is closed: by exec, or because the process died on its way to it. A failure is told
 * once the process is gone, so that what was to be made can be made again at once. */
static void reports_ended(struct process *process)
{
	struct process_outcome *outcome = &process->outcome;

	stop_reports(process);
	outcome->ready = false;
	if (!outcome->exec_ns && outcome->failure.code == 0)
		(void)error_set(&outcome->failure, -EIO,
				"the process died while it was being prepared");
	if (outcome->failure.code == 0 && process->state != PROCESS_ENDED)
		process->state = PROCESS_RUNNING;
	if (outcome->failure.code == 0 || process->state == PROCESS_ENDED)
		decide(process);
	else
		process->undecided = true;
}

static void take_report(struct process *process, const struct report *report, int passed)
{
	struct process_outcome *outcome = &process->outcome;

	switch ((enum report_kind)report->kind) {
	case REPORT_ROOT:
		if (passed >= 0 && process->root < 0)
			process->root = take_fd(&passed);
		break;
	case REPORT_TERMINAL:
		if (passed >= 0 && process->stdio.terminal < 0)
			(void)streams_attach_terminal(&process->stdio, take_fd(&passed));
		break;
	case REPORT_READY:
		process->state = PROCESS_READY;
		outcome->ready = true;
		decide(process);
		break;
	case REPORT_EXEC:
		outcome->exec_ns = report->time_ns;
		break;
	case REPORT_NOT_EXECUTED:
	case REPORT_FAILED:
		outcome->exec_failed = report->kind == REPORT_NOT_EXECUTED;
		outcome->failure.code = report->code < 0 ? report->code : -EIO;
		memcpy(outcome->failure.text, report->text, sizeof outcome->failure.text);
		break;
	}
	own_fd_release(&passed);
}

static void on_report(struct watch *watch, uint32_t events)
{
	struct process *process = container_of(watch, struct process, report_watch);
	struct report report;
	int passed = -1;
	int r = report_receive(watch->fd, &report, &passed);

	(void)events;
	if (r == 1)
		take_report(process, &report, passed);
	else if (r < 0)
		reports_ended(process);
}

static void finish(struct process *process)
{
	loop_stop_timer(process->loop, &process->silence);
	process->output_done = true;
	process->finished(process); /* may free it */
}

static void on_silence(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, silence);

	/* A reader that is slow is not silence: there is something to be moved. */
	if (streams_is_idle(&process->stdio))
		finish(process);
	else
		loop_set_timer(process->loop, timer, SILENCE_MS);
}

static void on_drained(struct streams *streams)
{
	struct process *process = container_of(streams, struct process, stdio);

	if (process->state == PROCESS_ENDED && streams_is_drained(streams))
		finish(process);
}

/* In the child. */
_Noreturn static void run_child(struct process_plan *plan, const struct process *process)
{
	memcpy(plan->launch.stdio, process->stdio.child, sizeof plan->launch.stdio);
	launch_run(&plan->launch);
}

static int make_process(struct loop *loop, const struct process_plan *plan, struct process **out)
{
	struct process *process = calloc(1, sizeof *process);

	if (!process)
		return -ENOMEM;
	*process = (struct process){ .container = plan->container,
				     .loop = loop,
				     .exec_id = strdup(plan->exec_id),
				     .pidfd = -1,
				     .root = -1,
				     .report_watch = { .fd = -1, .ready = on_report },
				     .decided = plan->decided,
				     .context = plan->context,
				     .silence = { .expired = on_silence },
				     .finished = plan->finished };
	if (!process->exec_id) {
		free(process);
		return -ENOMEM;
	}
	*out = process;
	return 0;
}

static int spawn(struct process *process, struct process_plan *plan)
{
	own_fd ours = -1, theirs = -1;
	int pair[2];
	int r = report_open(pair);

	if (r < 0)
		return r;
	ours = pair[0];
	theirs = pair[1];
	plan->launch.report = theirs;
	r = kernel_clone(plan->clone_flags, plan->cgroup,
			 plan->wants_pidfd ? &process->pidfd : NULL);
	if (r == 0) {
		(void)close(
		    take_fd(&ours)); /* or its own end would keep it from seeing ours close */
		run_child(plan, process);
	}
	streams_forget_child(&process->stdio);
	if (r < 0)
		return r;
	process->pid = r;
	process->report_watch.fd = take_fd(&ours);
	return loop_watch(process->loop, &process->report_watch, EPOLLIN);
}

int process_start(struct loop *loop, struct process_plan *plan, struct process **out,
		  struct error *err)
{
	const message_process *message = plan->launch.process;
	struct process *process = NULL;
	int r = make_process(loop, plan, &process);

	if (r < 0)
		return error_set(err, r, "no memory for a process");
	r = streams_open(&process->stdio, loop, message->stdio, message->terminal, on_drained, err);
	if (r == 0) {
		r = spawn(process, plan);
		if (r < 0)
			(void)error_set(err, r, "start a process: %s", sys_text(r));
	}
	if (r < 0) {
		process_destroy(process);
		return r;
	}
	*out = process;
	return 0;
}

int process_let_start(struct process *process)
{
	process->state = PROCESS_STARTING;
	process->outcome.ready = false;
	return report_let_start(process->report_watch.fd);
}

static uint64_t realtime_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void process_end(struct process *process, int status)
{
	struct report report;
	int passed = -1;

	process->status = status;
	process->ended_realtime_ns = realtime_ns();
	process->state = PROCESS_ENDED;
	/* Its last words come before its end. */
	while (process->report_watch.fd >= 0 &&
	       report_receive(process->report_watch.fd, &report, &passed) == 1)
		take_report(process, &report, passed);
	process->state = PROCESS_ENDED;
	if (process->report_watch.fd >= 0)
		reports_ended(process);
	else if (process->undecided)
		decide(process);
	relay_stop(&process->stdio.in);
	if (streams_is_drained(&process->stdio))
		finish(process);
	else
		loop_set_timer(process->loop, &process->silence, SILENCE_MS);
}

int process_add_waiter(struct process *process, struct ttrpc_call *call)
{
	struct process_waiter *waiter = calloc(1, sizeof *waiter);

	if (!waiter)
		return -ENOMEM;
	*waiter = (struct process_waiter){ .next = process->waiters, .call = call };
	process->waiters = waiter;
	return 0;
}

void process_destroy(struct process *process)
{
	if (!process)
		return;
	while (process->waiters) {
		struct process_waiter *waiter = process->waiters;

		process->waiters = waiter->next;
		ttrpc_refuse(waiter->call, TTRPC_NOT_FOUND, "the container was deleted");
		free(waiter);
	}
	stop_reports(process);
	loop_stop_timer(process->loop, &process->silence);
	streams_close(&process->stdio);
	own_fd_release(&process->pidfd);
	own_fd_release(&process->root);
	free(process->exec_id);
	free(process);
}

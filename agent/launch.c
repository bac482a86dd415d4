#include "agent/launch.h"

#include "agent/container_setup.h"
#include "agent/exec.h"
#include "agent/identity.h"
#include "agent/init.h"
#include "agent/kernel.h"
#include "agent/paths.h"
#include "agent/report.h"
#include "agent/terminal.h"
#include "agent/users.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAILED_STATUS = 125 };

_Noreturn static void fail(int fd, enum report_kind kind, const struct error *err)
{
	struct report report = { .kind = kind, .code = err->code };

	memcpy(report.text, err->text, sizeof report.text);
	(void)report_send(fd, &report, -1);
	_exit(FAILED_STATUS);
}

/* What the agent did for itself and exec would hand on. */
static void reset_signals(void)
{
	sigset_t none;

	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static int join_namespaces(const struct launch *launch, struct error *err)
{
	for (unsigned i = 0; i < launch->join_count; i++) {
		int r = (int)SYS(setns, launch->joins[i].pidfd, launch->joins[i].types);

		if (r < 0)
			return error_set(err, r, "enter the container's namespaces: %s",
					 sys_text(r));
	}
	return 0;
}

/* fds 0, 1, 2; what has no stream is /dev/null. The user owns them, as it may open /dev/stdout. */
static int place_stdio(const struct launch *launch, const struct user *user, struct error *err)
{
	for (int i = 0; i < 3; i++) {
		int fd = launch->stdio[i] < 0 ? launch->null_device : launch->stdio[i];
		int r = (int)SYS(dup3, fd, i, 0);

		if (r < 0)
			return error_set(err, r, "set up standard streams: %s", sys_text(r));
		if (launch->stdio[i] >= 0 && user->uid != 0)
			(void)SYS(fchown, i, user->uid, user->gid);
	}
	return 0;
}

static int set_oom_score(const message_process *process, struct error *err)
{
	own_fd proc = -1;
	char text[16];
	int r;

	if (!process->oom_score_adj_set)
		return 0;
	proc = kernel_mount_detached("proc", 0);
	(void)snprintf(text, sizeof text, "%d", process->oom_score_adj);
	r = proc < 0 ? proc : paths_set(proc, "self/oom_score_adj", text);
	return r < 0 ? error_set(err, r, "set oom_score_adj: %s", sys_text(r)) : 0;
}

/* With every descriptor but the report's closed, a path through /proc/self/fd leads nowhere
 * outside; and what is outside says so in its path. */
static int enter_folder(const message_process *process, struct error *err)
{
	const char *path = *process->cwd ? process->cwd : "/";
	char now[4096];
	int r = (int)SYS(chdir, path);

	if (r < 0)
		return error_set(err, r, "change to the folder %s: %s", path, sys_text(r));
	if (!getcwd(now, sizeof now) || now[0] != '/')
		return error_set(err, -EPERM, "the folder %s is outside of the container", path);
	return 0;
}

/* Moves the report's socket to fd 3 and closes what is above. */
static int keep_report_only(int report)
{
	int fd = report == 3 ? 3 : (int)SYS(dup3, report, 3, O_CLOEXEC);
	int r = fd < 0 ? fd : kernel_close_from(4);

	return r < 0 ? r : fd;
}

static int prepare(const struct launch *launch, struct user *user, struct error *err)
{
	own_fd root = -1;
	int r = join_namespaces(launch, err);

	(void)SYS(setsid);
	(void)kernel_join_session_keyring("katavm"); /* a kernel without keys has none to leak */
	if (r == 0 && launch->container && launch->new_namespaces & CLONE_NEWCGROUP)
		r = (int)SYS(unshare, CLONE_NEWCGROUP); /* now that we are in our group */
	if (r == 0 && launch->container)
		r = container_setup(launch, err);
	if (r < 0)
		return r;
	root = (int)SYS(open, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_set(err, root, "open the root: %s", sys_text(root));
	r = users_find(root, launch->process->user, user, err);
	if (r == 0 && launch->process->terminal)
		r = terminal_open(root, launch->process, user, launch->report,
				  launch->container != NULL, err);
	else if (r == 0)
		r = place_stdio(launch, user, err);
	if (r == 0)
		r = set_oom_score(launch->process, err);
	return r < 0 ? r : identity_set_limits(launch->process, err);
}

/* From here on the process is what it will be, but for its program. */
static int become(const message_process *process, const struct user *user, struct error *err)
{
	int r = identity_filter(process, IDENTITY_PRIVILEGED, err);

	if (r == 0)
		r = enter_folder(process, err);
	if (r == 0)
		r = identity_become(user, process->capabilities, err);
	if (r == 0 && process->user && process->user->umask_set)
		(void)umask(process->user->umask & 0777);
	else
		(void)umask(022);
	return r;
}

static void tell(int fd, enum report_kind kind)
{
	struct report report = { .kind = kind, .time_ns = kernel_boottime_ns() };

	(void)report_send(fd, &report, -1);
}

_Noreturn static void execute(const struct launch *launch, int report, const struct user *user)
{
	struct error err = { 0 };
	struct exec_program program;
	int r = exec_find(launch->process, user->home, &program, &err);

	if (r < 0)
		fail(report, REPORT_NOT_EXECUTED, &err);
	if (launch->wait_for_start) {
		tell(report, REPORT_READY);
		if (report_wait_for_start(report) < 0)
			_exit(FAILED_STATUS);
	}
	if (launch->process->init) {
		r = init_split(launch->process->terminal);
		if (r < 0) {
			(void)error_set(&err, r, "start the init process: %s", sys_text(r));
			fail(report, REPORT_FAILED, &err);
		}
	}
	tell(report, REPORT_EXEC);
	r = identity_filter(launch->process, IDENTITY_LAST, &err);
	if (r < 0)
		fail(report, REPORT_FAILED, &err);
	(void)exec_run(&program, &err);
	fail(report, REPORT_NOT_EXECUTED, &err);
}

_Noreturn void launch_run(const struct launch *launch)
{
	static struct user user; /* large, and this process is one */
	struct error err = { 0 };
	int report, r;

	reset_signals();
	r = prepare(launch, &user, &err);
	if (r < 0) {
		if (!err.code)
			(void)error_set(&err, r, "prepare the process: %s", sys_text(r));
		fail(launch->report, REPORT_FAILED, &err);
	}
	report = keep_report_only(launch->report);
	if (report < 0)
		_exit(FAILED_STATUS);
	if (become(launch->process, &user, &err) < 0)
		fail(report, REPORT_FAILED, &err);
	execute(launch, report, &user);
}

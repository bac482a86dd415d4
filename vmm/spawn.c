#include "vmm/spawn.h"
#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { CHILD_SOCKET = 3 };

/* The following runs in the child of vfork, which shares our memory: system calls only. */
static bool place_fd(int from, int to)
{
	if (from == to)
		return fcntl(to, F_SETFD, 0) == 0;
	return dup2(from, to) == to;
}

static void become(const char *name, int socket, int null, pid_t parent)
{
	static char number[] = "3";
	char *argv[] = { (char *)(uintptr_t)name, number, NULL }, *environment[] = { NULL };
	sigset_t none;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return;
	(void)setsid(); /* the terminal's signals are for the container, not for its machine */
	(void)sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return;
	if (!place_fd(null, 0) || !place_fd(null, 1) || !place_fd(socket, CHILD_SOCKET))
		return;
	if (fcntl(2, F_GETFD) < 0 && !place_fd(null, 2))
		return;
	if (close_range(CHILD_SOCKET + 1, ~0U, 0) < 0)
		return;
	(void)execve("/proc/self/exe", argv, environment);
}

int spawn_role(const char *name, int socket, struct spawned *out, struct error *err)
{
	own_fd null = sys_open(AT_FDCWD, "/dev/null", O_RDWR, 0);
	own_fd high = (int)SYS(fcntl, socket, F_DUPFD_CLOEXEC, CHILD_SOCKET + 1);
	pid_t parent = getpid(), pid;

	if (null < 0)
		return error_set(err, null, "/dev/null: open: %s", sys_text(null));
	if (high < 0)
		return error_set(err, high, "%s: control socket: %s", name, sys_text(high));
	/* vfork: nothing of a large process is copied; the child makes system calls only */
	pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */
	if (pid == 0) {
		become(name, high, null, parent); /* NOLINT(clang-analyzer-unix.Vfork) */
		_exit(127);
	}
	if (pid < 0)
		return error_set(err, (int)sys_result(pid), "%s: start its process: %s", name,
				 sys_text((int)sys_result(pid)));
	out->pid = pid;
	out->pidfd = (int)SYS(pidfd_open, pid, 0U);
	if (out->pidfd < 0)
		return error_set(err, out->pidfd, "%s: watch its process: %s", name,
				 sys_text(out->pidfd));
	return 0;
}

void spawn_end(struct spawned *child)
{
	siginfo_t info;

	if (child->pid <= 0)
		return;
	if (child->pidfd >= 0)
		(void)SYS(pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0U);
	else /* not reaped yet, so the number is still its own */
		(void)SYS(kill, child->pid, SIGKILL);
	(void)SYS_RETRY(waitid, P_PID, (id_t)child->pid, &info, WEXITED);
	close_fd(&child->pidfd);
	child->pid = 0;
}

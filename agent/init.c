#include "agent/init.h"

#include "agent/kernel.h"
#include "base/sys.h"
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* True once `main` has ended, with its status in *status. */
static bool reap(pid_t main, int *status)
{
	bool ended = false;
	long pid;
	int one;

	while ((pid = SYS(waitpid, -1, &one, WNOHANG)) > 0) {
		if (pid == main) {
			*status = one;
			ended = true;
		}
	}
	return ended;
}

_Noreturn static void serve(pid_t main, const sigset_t *all)
{
	int status = 0;

	for (;;) {
		siginfo_t info;
		int number = (int)SYS_RETRY(sigwaitinfo, all, &info);

		if (number < 0)
			continue;
		if (number != SIGCHLD)
			(void)SYS(kill, main, number);
		else if (reap(main, &status))
			_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	}
}

int init_split(bool terminal)
{
	sigset_t all, before;
	pid_t pid;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = (pid_t)SYS(fork); /* the filter of system calls may know no clone3 */
	if (pid > 0) {
		(void)kernel_close_from(0);
		(void)SYS(chdir, "/");
		(void)SYS(prctl, PR_SET_NAME, "init", 0, 0, 0);
		serve(pid, &all);
	}
	if (pid == 0) {
		(void)SYS(setpgid, 0, 0);
		if (terminal)
			(void)SYS(tcsetpgrp, 0, getpid()); /* SIGTTOU is blocked now */
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? pid : 0;
}

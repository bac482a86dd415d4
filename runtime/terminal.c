#include "runtime/terminal.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

void terminal_size(int fd, unsigned short *rows, unsigned short *columns)
{
	struct winsize size = { 0 };

	if (sys_ioctl(fd, TIOCGWINSZ, &size) < 0)
		size = (struct winsize){ 0 };
	*rows = size.ws_row;
	*columns = size.ws_col;
}

int terminal_reopen(int fd, int flags)
{
	return isatty(fd) ? sys_reopen_nonblock(fd, flags) : -ENOTTY;
}

/* Waits for katavm to say it has tidied up (a byte), or to be gone (end of file). */
_Noreturn static void guard_main(int watch_fd, int terminal_fd, const struct termios *before)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	char byte;

	(void)setpgid(0, 0); /* a kill of katavm's process group is not meant for this one */
	(void)sigaction(SIGTTOU, &ignore, NULL);
	(void)sigaction(SIGHUP, &ignore, NULL);
	(void)SYS(dup3, watch_fd, 0, 0);
	(void)SYS(dup3, terminal_fd, 1, 0);
	(void)close(2);
	(void)close_range(3, ~0U, 0);
	if (SYS_RETRY(read, 0, &byte, 1) == 0)
		(void)tcsetattr(1, TCSADRAIN, before);
	_exit(0);
}

static int start_guard(struct terminal *terminal, struct error *err)
{
	int ends[2];
	int result = (int)SYS(pipe2, ends, O_CLOEXEC);
	int copy;

	if (result < 0)
		return error_set(err, result, "make a pipe: %s", sys_text(result));
	/* descriptors 0 to 2 are about to be replaced in the guard */
	copy = (int)SYS(fcntl, terminal->fd, F_DUPFD_CLOEXEC, 3);
	terminal->guard = (pid_t)SYS(fork);
	if (terminal->guard == 0)
		guard_main(ends[0], copy, &terminal->before);
	(void)close(copy);
	(void)close(ends[0]);
	terminal->watch_fd = ends[1];
	if (terminal->guard < 0) {
		(void)close(ends[1]);
		terminal->watch_fd = -1;
		return error_set(err, terminal->guard, "start the terminal's guard: %s",
				 sys_text(terminal->guard));
	}
	return 0;
}

int terminal_open(int fd, struct terminal *out, struct error *err)
{
	struct terminal terminal = { .fd = fd, .watch_fd = -1 };
	struct termios raw;
	int result = (int)SYS(tcgetattr, fd, &terminal.before);

	if (result < 0)
		return error_set(err, result, "read the terminal's mode: %s", sys_text(result));
	result = start_guard(&terminal, err);
	if (result < 0)
		return result;
	raw = terminal.before;
	cfmakeraw(&raw);
	result = (int)SYS(tcsetattr, fd, TCSADRAIN, &raw);
	if (result < 0) {
		terminal_close(&terminal);
		return error_set(err, result, "set the terminal's mode: %s", sys_text(result));
	}
	*out = terminal;
	return 0;
}

void terminal_close(struct terminal *terminal)
{
	if (terminal->watch_fd < 0)
		return;
	(void)SYS_RETRY(tcsetattr, terminal->fd, TCSADRAIN, &terminal->before);
	(void)SYS_RETRY(write, terminal->watch_fd, "", 1);
	(void)close(terminal->watch_fd);
	(void)SYS_RETRY(waitpid, terminal->guard, NULL, 0);
	*terminal = TERMINAL_CLOSED;
}

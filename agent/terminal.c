#include "agent/terminal.h"

#include "agent/kernel.h"
#include "agent/paths.h"
#include "agent/report.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GET_PEER _IO('T', 0x41) /* TIOCGPTPEER */

int terminal_resize(int master, unsigned rows, unsigned columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	return sys_ioctl(master, TIOCSWINSZ, &size);
}

/* The slave is taken from the master itself: no path that the image could have made otherwise. */
static int open_slave(int master)
{
	int unlocked = 0;
	int r = sys_ioctl(master, TIOCSPTLCK, &unlocked);

	return r < 0 ? r : (int)SYS(ioctl, master, GET_PEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* A container without a writable /dev goes without. */
static int mount_console(int root, int slave)
{
	struct error unused;
	own_fd target = paths_make(root, "/dev/console", PATHS_FILE, &unused);
	own_fd mount = -1;

	if (target < 0)
		return target == -EROFS ? 0 : target;
	mount = kernel_open_tree(slave, "", false);
	return mount < 0 ? mount : kernel_attach(mount, target);
}

int terminal_open(int root, const message_process *process, const struct user *user, int report,
		  bool console, struct error *err)
{
	const struct report message = { .kind = REPORT_TERMINAL };
	own_fd master = kernel_open_in_root(root, "/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
	own_fd slave = master < 0 ? -1 : open_slave(master);
	int r = master < 0 ? master : slave;

	if (r < 0)
		return error_set(err, r, "open a terminal at /dev/ptmx: %s", sys_text(r));
	if (process->rows && process->columns)
		(void)terminal_resize(master, process->rows, process->columns);
	r = console ? mount_console(root, slave) : 0;
	if (r < 0)
		return error_set(err, r, "make /dev/console: %s", sys_text(r));
	if (user->uid != 0)
		(void)SYS(fchown, slave, user->uid, (gid_t)-1);
	for (int fd = 0; r >= 0 && fd < 3; fd++)
		r = (int)SYS(dup3, slave, fd, 0);
	if (r >= 0)
		r = (int)SYS(ioctl, 0, TIOCSCTTY, 0);
	if (r >= 0)
		r = report_send(report, &message, master);
	return r < 0 ? error_set(err, r, "set up the terminal: %s", sys_text(r)) : 0;
}

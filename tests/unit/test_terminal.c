#include "base/own.h"
#include "runtime/terminal.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <unistd.h>

/* What the VMM gets never blocks; the caller's own descriptor, which others share, stays as it is.
 */
Test(terminal, a_second_open_file)
{
	int master, slave;
	char byte;

	cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	own_fd output = terminal_reopen(slave, O_WRONLY);
	own_fd input = terminal_reopen(slave, O_RDONLY);
	cr_assert_eq(fcntl(output, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY | O_NONBLOCK);
	cr_assert_eq(fcntl(input, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	cr_assert_eq(fcntl(slave, F_GETFL) & O_NONBLOCK, 0);
	cr_assert(fcntl(output, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(write(output, "x", 1), 1);
	cr_assert_eq(read(master, &byte, 1), 1);
	cr_assert_eq(byte, 'x');
	close(slave);
	close(master);
}

Test(terminal, other_streams_are_not_opened_again)
{
	int p[2];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(terminal_reopen(p[0], O_RDONLY), -ENOTTY);
	cr_assert_eq(terminal_reopen(p[1], O_WRONLY), -ENOTTY);
	cr_assert_eq(terminal_reopen(-1, O_RDONLY), -ENOTTY);
	close(p[0]);
	close(p[1]);
}

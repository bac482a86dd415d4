#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"
#include "base/text.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

Test(sys, errors_are_negative)
{
	cr_assert_eq(SYS(close, -1), -EBADF);
	cr_assert_eq(sys_open(AT_FDCWD, "/does/not/exist", O_RDONLY, 0), -ENOENT);
	cr_assert_str_eq(sys_text(-ENOENT), "No such file or directory");
	cr_assert_str_eq(sys_text(-99999), "unknown error");
}

Test(sys, faults_come_and_go)
{
	struct sys_fault fault = { .call = "read", .result = -EINTR, .skip = 1, .count = 2 };
	own_fd fd = sys_open(AT_FDCWD, "/dev/zero", O_RDONLY, 0);
	char b[4] = "abc";

	sys_inject(&fault);
	cr_assert_eq(SYS(read, fd, b, 1), 1);
	cr_assert_eq(SYS(read, fd, b, 1), -EINTR);
	cr_assert_eq(SYS_RETRY(read, fd, b, 1), 1);
	cr_assert_eq(fault.count, 0);
	sys_inject(NULL);
}

Test(sys, whole_reads_and_writes)
{
	int p[2];
	char b[8];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(sys_write_all(p[1], "abcd", 4), 0);
	close(p[1]);
	cr_assert_eq(sys_read_all(p[0], b, 3), 0);
	cr_assert_eq(sys_read_all(p[0], b, 2), -EIO);
	close(p[0]);
}

Test(sys, reopen_leaves_the_callers_pipe_blocking)
{
	int p[2];
	char b;

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	own_fd mine = sys_reopen_nonblock(p[0], O_RDONLY);
	cr_assert_geq(mine, 0);
	cr_assert_eq(SYS(read, mine, &b, 1), -EAGAIN);
	cr_assert_not(fcntl(p[0], F_GETFL) & O_NONBLOCK);
	close(p[0]);
	close(p[1]);
}

Test(log, escapes_what_a_guest_says)
{
	char out[16];

	cr_assert_eq(log_escape("a\x1b[2J", 5, out, sizeof out), 8);
	cr_assert_str_eq(out, "a\\x1b[2J");
	(void)log_escape("\0\0\0\0\0\0\0\0", 8, out, sizeof out);
	cr_assert_lt(strlen(out), sizeof out);
}

Test(log, limits_floods, .init = cr_redirect_stderr)
{
	struct log_limit limit = { 0 };

	for (int i = 0; i < 1000; i++)
		log_guest(&limit, LOG_LEVEL_WARNING, "bad %d\n", i);
	cr_assert_geq(limit.dropped, 900);
}

Test(text, keeps_what_moves_no_cursor)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "layer sha256:12… is „größer“", "layer sha256:12… is „größer“" },
		{ "𝄞 \xef\xbf\xbd \xc2\xa0", "𝄞 \xef\xbf\xbd \xc2\xa0" },
		{ "\x1b[2J\x07\x7f\t\r\n", "?[2J?????" },
		{ "\xc2\x9b"
		  "2J\xc2\x80\xc2\x9f",
		  "??2J????" }, /* C1 in UTF-8 */
		{ "\x9b"
		  "2J\xff",
		  "?2J?" },                                              /* C1 in Latin-1 */
		{ "\xc0\x9b\xe0\x82\x9b\xf0\x80\x82\x9b", "?????????" }, /* in too many bytes */
		{ "\xed\xa0\x80\xf4\x90\x80\x80", "???????" },           /* no characters */
		{ "a\xe2\x80", "a??" },
		{ "\xc2", "?" },
		{ "\xe2\x1b\x80", "???" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[64];

		(void)snprintf(text, sizeof text, "%s", rows[i].text);
		text_make_printable(text);
		cr_expect_str_eq(text, rows[i].shown, "row %zu", i);
	}
}

Test(error, is_one_line_that_a_terminal_can_be_shown)
{
	struct error err = { 0 };

	cr_assert_eq(error_set(&err, -EINVAL, "no type \"%s\"", "\x1b]0;x\x07\n\xc2\x9b"), -EINVAL);
	cr_assert_str_eq(err.text, "no type \"?]0;x????\"");
	(void)error_set(NULL, -EINVAL, "nobody reads it");
}

Test(check, ends_the_program, .signal = SIGABRT, .init = cr_redirect_stderr)
{
	CHECK(1 == 2);
}

#include "agent/copy.h"
#include "base/sys.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/test-copy.XXXXXX";
static int from, to;

static int folder(const char *name)
{
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", top, name);
	cr_assert_eq(mkdir(path, 0755), 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	return fd;
}

static void put(int dir, const char *name, const char *text, mode_t mode)
{
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s", name);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(fchmod(fd, mode), 0);
	(void)close(fd);
}

static const char *get(const char *name)
{
	static char text[64];
	int fd = openat(to, name, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	(void)close(fd);
	text[size < 0 ? 0 : size] = '\0';
	return size < 0 ? "(missing)" : text;
}

static mode_t mode_of(const char *name)
{
	struct stat stat;

	cr_assert_eq(fstatat(to, name, &stat, AT_SYMLINK_NOFOLLOW), 0, "%s", name);
	return stat.st_mode & 07777;
}

static void set_up(void)
{
	cr_assert(mkdtemp(top));
	from = folder("from");
	to = folder("to");
	put(from, "one", "first", 0640);
	put(from, "two", "second", 04755);
	cr_assert_eq(mkdirat(from, "sub", 0751), 0);
	put(from, "sub/three", "third", 0600);
	cr_assert_eq(symlinkat("sub/three", from, "link"), 0);
}

static void tear_down(void)
{
	char command[64];

	(void)snprintf(command, sizeof command, "rm -rf %s", top);
	cr_expect_eq(system(command), 0); /* NOLINT(cert-env33-c): a name of our own */
	(void)close(from);
	(void)close(to);
}

static void expect_whole(void)
{
	cr_expect_str_eq(get("one"), "first");
	cr_expect_str_eq(get("two"), "second");
	cr_expect_str_eq(get("link"), "third");
	cr_expect_eq(mode_of("one"), 0640);
	cr_expect_eq(mode_of("two"), 04755);
	cr_expect_eq(mode_of("sub"), 0751);
	cr_expect_eq(faccessat(to, ".katavm-copy", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

TestSuite(copy, .init = set_up, .fini = tear_down);

Test(copy, takes_all_with_modes_and_links)
{
	cr_expect_eq(copy_tree(from, to), 0);
	expect_whole();
}

/* Wherever it was cut off: no file of a name that is not whole, and the next call does the rest. */
Test(copy, completes_one_that_was_cut_off)
{
	static const char *const files[] = { "one", "two", "sub/three" };
	static const char *const texts[] = { "first", "second", "third" };

	for (unsigned skip = 0; skip < 6; skip++) { /* two calls of sendfile a file */
		struct sys_fault fault = {
			.call = "sendfile", .result = -ENOSPC, .skip = skip, .count = 1
		};

		sys_inject(&fault);
		cr_expect_eq(copy_tree(from, to), -ENOSPC, "after %u", skip);
		sys_inject(NULL);
		for (size_t i = 0; i < 3; i++)
			if (faccessat(to, files[i], F_OK, 0) == 0)
				cr_expect_str_eq(get(files[i]), texts[i]);
		if (skip % 2) /* else the next one goes on from here */
			continue;
		cr_expect_eq(copy_tree(from, to), 0);
		expect_whole();
		for (size_t i = 0; i < 3; i++)
			cr_expect_eq(unlinkat(to, files[i], 0), 0);
		cr_expect_eq(unlinkat(to, "link", 0), 0);
	}
}

Test(copy, leaves_what_is_there)
{
	put(to, "one", "mine", 0600);
	put(to, "sub", "mine too", 0600);
	put(to, ".katavm-copy", "half of a fi", 0600);
	cr_expect_eq(copy_tree(from, to), 0);
	cr_expect_str_eq(get("one"), "mine");
	cr_expect_str_eq(get("sub"), "mine too");
	cr_expect_eq(mode_of("one"), 0600);
	cr_expect_str_eq(get("two"), "second");
	cr_expect_eq(faccessat(to, ".katavm-copy", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

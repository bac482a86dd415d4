/*
 * A file has its own name only once it is whole, so that a copy that was cut off can be completed
 * by another: until then it is UNFINISHED.
 */
#include "agent/copy.h"

#include "agent/kernel.h"
#include "base/own.h"
#include "base/sys.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define UNFINISHED ".katavm-copy"
enum { MAX_DEPTH = 64 };

static int copy_folder(int from, int to, unsigned depth);

static int copy_link(int from, int to, const char *name)
{
	char text[PATH_MAX];
	long size = SYS(readlinkat, from, name, text, sizeof text - 1);

	if (size < 0)
		return (int)size;
	text[size] = '\0';
	return (int)SYS(symlinkat, text, to, UNFINISHED);
}

static int copy_file(int from, int to, const char *name)
{
	own_fd in = (int)SYS(openat, from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	own_fd out = -1;
	long r;

	if (in < 0)
		return in;
	out = (int)SYS(openat, to, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return out;
	do
		r = SYS(sendfile, out, in, NULL, 1 << 20);
	while (r > 0);
	return (int)r;
}

static int copy_attributes(int to, const char *name, const struct stat *stat)
{
	const struct timespec times[] = { stat->st_atim, stat->st_mtim };
	int r = (int)SYS(fchownat, to, name, stat->st_uid, stat->st_gid, AT_SYMLINK_NOFOLLOW);

	if (r == 0 && !S_ISLNK(stat->st_mode))
		r = (int)SYS(fchmodat, to, name, stat->st_mode & 07777, 0);
	return r < 0 ? r : (int)SYS(utimensat, to, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_leaf(int from, int to, const char *name, const struct stat *stat)
{
	int r = S_ISLNK(stat->st_mode) ? copy_link(from, to, name) : copy_file(from, to, name);

	if (r == 0)
		r = copy_attributes(to, UNFINISHED, stat);
	if (r == 0)
		r = kernel_rename_new(to, UNFINISHED, name);
	if (r < 0)
		(void)SYS(unlinkat, to, UNFINISHED, 0);
	return r == -EEXIST ? 0 : r; /* it stays as it is */
}

/* NOLINTBEGIN(misc-no-recursion): to MAX_DEPTH */
static int copy_subfolder(int from, int to, const char *name, const struct stat *stat,
			  unsigned depth)
{
	own_fd in = (int)SYS(openat, from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	own_fd out = -1;
	int r = in < 0 ? in : (int)SYS(mkdirat, to, name, 0700);

	if (r < 0 && r != -EEXIST)
		return r;
	out = (int)SYS(openat, to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r == -EEXIST && (out == -ENOTDIR || out == -ELOOP))
		return 0; /* something else by now: it stays */
	r = out < 0 ? out : copy_folder(in, out, depth + 1);
	return r < 0 ? r : copy_attributes(to, name, stat);
}

static int copy_entry(int from, int to, const char *name, unsigned depth)
{
	struct stat stat;
	int r = (int)SYS(fstatat, from, name, &stat, AT_SYMLINK_NOFOLLOW);

	if (r < 0)
		return r;
	if (S_ISDIR(stat.st_mode))
		return copy_subfolder(from, to, name, &stat, depth);
	return S_ISLNK(stat.st_mode) || S_ISREG(stat.st_mode) ? copy_leaf(from, to, name, &stat)
							      : 0;
}

static int copy_folder(int from, int to, unsigned depth)
{
	struct dirent *entry;
	int fd, r = 0;
	DIR *dir;

	if (depth == MAX_DEPTH)
		return -ELOOP;
	fd = (int)SYS(openat, from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		(void)close(fd);
		return -ENOMEM;
	}
	(void)SYS(unlinkat, to, UNFINISHED, 0); /* of a copy that was cut off */
	while (r == 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = copy_entry(from, to, entry->d_name, depth);
	(void)closedir(dir);
	return r;
}
/* NOLINTEND(misc-no-recursion) */

int copy_tree(int from, int to)
{
	struct stat stat;
	int r = copy_folder(from, to, 0);

	if (r == 0)
		r = (int)SYS(fstat, from, &stat);
	if (r == 0)
		r = (int)SYS(fchownat, to, "", stat.st_uid, stat.st_gid, AT_EMPTY_PATH);
	if (r == 0)
		r = (int)SYS(fchmodat, to, ".", stat.st_mode & 07777, 0);
	return r;
}

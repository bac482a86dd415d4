#include "agent/paths.h"

#include "agent/kernel.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* Opens every part of path that exists and makes the others. The prefix is always looked up from
 * the root again, so that a link in the middle means what it means to the container. */
static int make_folders(int root, char *path)
{
	own_fd at = (int)SYS(openat, root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		return at;
	for (char *part = path; *part;) {
		char *end, saved;
		int next;

		part += strspn(part, "/");
		end = part + strcspn(part, "/");
		if (part == end)
			break;
		saved = *end;
		*end = '\0';
		next = kernel_open_in_root(root, path, O_PATH | O_DIRECTORY, 0);
		if (next == -ENOENT) {
			int made = (int)SYS(mkdirat, at, part, 0755);

			if (made < 0 && made != -EEXIST)
				return made;
			next = kernel_open_in_root(root, path, O_PATH | O_DIRECTORY, 0);
		}
		*end = saved;
		if (next < 0)
			return next;
		(void)close(at);
		at = next;
		part = end;
	}
	return take_fd(&at);
}

static int copy_path(const char *path, char copy[PATH_MAX])
{
	size_t size = strlen(path) + 1;

	if (size > PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(copy, path, size);
	return 0;
}

int paths_make_parent(int root, const char *path, const char **name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char copy[PATH_MAX];
	int fd = copy_path(path, copy);

	if (fd == 0 && (!slash || slash[1] == '\0'))
		fd = -EISDIR;
	if (fd == 0) {
		copy[slash - path] = '\0';
		fd = make_folders(root, copy);
	}
	if (fd < 0)
		return error_set(err, fd, "make the folder of %s: %s", path, sys_text(fd));
	*name = slash + 1;
	return fd;
}

static int make_file(int root, const char *path, struct error *err)
{
	const char *name = NULL;
	own_fd parent = paths_make_parent(root, path, &name, err);
	own_fd file = -1;

	if (parent < 0)
		return parent;
	file = (int)SYS(openat, parent, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	if (file < 0 && file != -EEXIST)
		return error_set(err, file, "make %s: %s", path, sys_text(file));
	return 0;
}

int paths_make(int root, const char *path, enum paths_kind kind, struct error *err)
{
	int fd = kernel_open_in_root(root, path, O_PATH, 0);
	char copy[PATH_MAX];
	int r = 0;

	if (fd != -ENOENT)
		return fd < 0 ? error_set(err, fd, "open %s: %s", path, sys_text(fd)) : fd;
	if (kind == PATHS_FILE) {
		r = make_file(root, path, err);
		if (r < 0)
			return r;
		fd = kernel_open_in_root(root, path, O_PATH, 0);
	} else {
		r = copy_path(path, copy);
		fd = r < 0 ? r : make_folders(root, copy);
	}
	return fd < 0 ? error_set(err, fd, "make %s: %s", path, sys_text(fd)) : fd;
}

int paths_read(int root, const char *path, size_t limit, char **out, size_t *size)
{
	own_fd fd = kernel_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	own_mem char *text = NULL;
	size_t filled = 0, room = 4096;
	struct stat stat;

	if (fd < 0)
		return fd;
	if (SYS(fstat, fd, &stat) < 0 || !S_ISREG(stat.st_mode))
		return -EINVAL; /* a fifo or a device would be waited for */
	if (stat.st_size > 0 && (uint64_t)stat.st_size < limit)
		room = (size_t)stat.st_size + 2;
	for (;;) {
		char *grown = realloc(text, room);
		long got;

		if (!grown)
			return -ENOMEM;
		text = grown;
		got = SYS_RETRY(read, fd, text + filled, room - filled - 1);
		if (got < 0)
			return (int)got;
		if (got == 0)
			break;
		filled += (size_t)got;
		if (filled > limit)
			return -EFBIG;
		if (filled == room - 1)
			room *= 2;
	}
	text[filled] = '\0';
	*size = filled;
	*out = take_ptr(text);
	return 0;
}

/* Through a link where it leads to something; over a link that dangles out of any folder. */
static int open_for_write(int root, const char *path, int flags, mode_t mode, struct error *err)
{
	int fd = kernel_open_in_mount(root, path, flags, mode);
	const char *name = NULL;
	own_fd parent = -1;

	if (fd != -ENOENT)
		return fd;
	parent = paths_make_parent(root, path, &name, err);
	if (parent < 0)
		return parent;
	fd = kernel_open_in_mount(root, path, flags, mode);
	if (fd != -ENOENT)
		return fd;
	(void)SYS(unlinkat, parent, name, 0);
	return (int)SYS(openat, parent, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

int paths_write(int root, const char *path, const void *content, size_t size, mode_t mode,
		bool append, struct error *err)
{
	int flags = O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK | (append ? O_APPEND : O_TRUNC);
	own_fd fd = open_for_write(root, path, flags, mode, err);
	int r;

	if (fd == -EXDEV)
		return error_set(err, fd, "write %s: something is mounted there", path);
	if (fd < 0)
		return error_set(err, fd, "write %s: %s", path, sys_text(fd));
	r = append ? 0 : (int)SYS(fchmod, fd, mode);
	if (r == 0)
		r = sys_write_all(fd, content, size);
	if (r < 0)
		return error_set(err, r, "write %s: %s", path, sys_text(r));
	return 0;
}

int paths_set(int dir, const char *path, const char *value)
{
	own_fd fd = (int)SYS(openat, dir, path, O_WRONLY | O_CLOEXEC);
	long r;

	if (fd < 0)
		return fd;
	r = SYS_RETRY(write, fd, value, strlen(value));
	return r < 0 ? (int)r : 0;
}

#include "vmm/standalone_control.h"
#include "base/own.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { LINE_SIZE = PATH_MAX + 64, MAX_WORDS = 4, WAIT_MS = 2000 };

int standalone_control_open(const char *path, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	own_fd fd = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = fd;

	if (strlen(path) >= sizeof address.sun_path)
		return error_set(err, -ENAMETOOLONG, "control %s: the path is too long", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (r >= 0)
		r = (int)SYS(fchmod, fd, 0600); /* what bind gives the file */
	if (r >= 0)
		r = (int)SYS(bind, fd, (struct sockaddr *)&address, sizeof address);
	if (r == 0)
		r = (int)SYS(listen, fd, 8);
	if (r < 0)
		return error_set(err, r, "control %s: listen: %s", path, sys_text(r));
	return take_fd(&fd);
}

static int add(struct vmm *vmm, char *const words[], size_t count, uint64_t *value,
	       struct error *err)
{
	bool read_only = count == 4 && strcmp(words[3], "readonly") == 0;
	own_fd fd = -EBADF;
	struct vmm_disk disk = { .read_only = read_only };
	unsigned slot = 0;
	int r;

	if (count != 3 && !read_only)
		return error_set(err, -EINVAL, "add: wanted: add SERIAL PATH [readonly]");
	fd = sys_open(AT_FDCWD, words[2], read_only ? O_RDONLY : O_RDWR, 0);
	if (fd < 0)
		return error_set(err, fd, "disk %.150s: %s", words[2], sys_text(fd));
	disk.fd = fd;
	memcpy(disk.serial, words[1], strlen(words[1]));
	r = vmm_add_disk(vmm, &disk, &slot, err);
	*value = slot;
	return r;
}

static int execute(struct vmm *vmm, char *const words[], size_t count, uint64_t *value,
		   struct error *err)
{
	char serial[VMM_SERIAL_SIZE] = "";

	if (count < 2 || strlen(words[1]) > sizeof serial)
		return error_set(err, -EINVAL, "wanted a command and the serial of a disk");
	memcpy(serial, words[1], strlen(words[1]));
	if (strcmp(words[0], "add") == 0)
		return add(vmm, words, count, value, err);
	if (strcmp(words[0], "resize") == 0 && count == 2)
		return vmm_resize_disk(vmm, serial, value, err);
	if (strcmp(words[0], "remove") == 0 && count == 2)
		return vmm_remove_disk(vmm, serial, err);
	return error_set(err, -EINVAL, "the commands are: stats, resize, add, remove");
}

/* Up to the end of a line. */
static bool read_line(int fd, char line[LINE_SIZE])
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t size = 0;

	while (size < LINE_SIZE - 1) {
		long n;

		if (SYS_RETRY(poll, &ready, 1, WAIT_MS) <= 0)
			return false;
		n = SYS_RETRY(read, fd, line + size, LINE_SIZE - 1 - size);
		if (n <= 0)
			return false;
		size += (size_t)n;
		line[size] = 0;
		if (strchr(line, '\n'))
			break;
	}
	line[strcspn(line, "\n")] = 0;
	return true;
}

void standalone_control_serve(struct vmm *vmm, int listen_fd)
{
	own_fd fd = (int)SYS(accept4, listen_fd, NULL, NULL, SOCK_CLOEXEC);
	char line[LINE_SIZE], *words[MAX_WORDS], *rest = NULL, answer[300];
	struct error err = { 0 };
	uint64_t value = 0;
	size_t count = 0;
	int length, r;

	if (fd < 0 || !read_line(fd, line))
		return;
	for (char *word = strtok_r(line, " ", &rest); word && count < MAX_WORDS;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	if (count == 1 && strcmp(words[0], "stats") == 0)
		r = vmm_write_stats(vmm, fd, &err);
	else
		r = execute(vmm, words, count, &value, &err);
	if (r < 0)
		length = snprintf(answer, sizeof answer, "error: %s\n", err.text);
	else
		length = snprintf(answer, sizeof answer, "ok %llu\n", (unsigned long long)value);
	(void)sys_write_all(fd, answer, (size_t)length);
}

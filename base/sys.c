#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct sys_fault *injected;

long sys_error(void)
{
	return -(long)errno;
}

bool sys_is_interrupted(long result)
{
	return result == -EINTR;
}

const char *sys_text(int negative_errno)
{
	const char *text = strerrordesc_np(-negative_errno);

	return text ? text : "unknown error";
}

void sys_inject(struct sys_fault *fault)
{
	injected = fault;
}

int sys_fault(const char *call)
{
	struct sys_fault *fault = injected;

	if (__builtin_expect(!fault, 1))
		return 0;
	if (strcmp(call, fault->call) != 0 || fault->count == 0)
		return 0;
	if (fault->skip > 0) {
		fault->skip--;
		return 0;
	}
	fault->count--;
	return fault->result;
}

int sys_read_all(int fd, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		long n = SYS_RETRY(read, fd, (uint8_t *)to + done, size - done);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int sys_write_all(int fd, const void *from, size_t size)
{
	for (size_t done = 0; done < size;) {
		long n = SYS_RETRY(write, fd, (const uint8_t *)from + done, size - done);

		if (n < 0)
			return (int)n;
		done += (size_t)n;
	}
	return 0;
}

int sys_pread_all(int fd, void *to, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		long n =
		    SYS_RETRY(pread, fd, (uint8_t *)to + done, size - done, (off_t)(offset + done));

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int sys_pwrite_all(int fd, const void *from, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		long n = SYS_RETRY(pwrite, fd, (const uint8_t *)from + done, size - done,
				   (off_t)(offset + done));

		if (n < 0)
			return (int)n;
		done += (size_t)n;
	}
	return 0;
}

int sys_mmap(void *at, size_t size, int protection, int flags, int fd, uint64_t offset, void **out)
{
	int fault = sys_fault("mmap");
	void *mapped;

	if (fault < 0)
		return fault;
	mapped = mmap(at, size, protection, flags, fd, (off_t)offset);
	if (mapped == MAP_FAILED)
		return -errno;
	*out = mapped;
	return 0;
}

int sys_ioctl(int fd, unsigned long request, void *argument)
{
	return (int)SYS(ioctl, fd, request, argument);
}

int sys_open(int dir_fd, const char *path, int flags, mode_t mode)
{
	return (int)SYS_RETRY(openat, dir_fd, path, flags | O_CLOEXEC, mode);
}

int sys_eventfd(void)
{
	return (int)SYS(eventfd, 0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int sys_eventfd_signal(int fd)
{
	static const uint64_t one = 1;
	long n = SYS_RETRY(write, fd, &one, sizeof one);

	/* -EAGAIN: the counter is at its end, so the reader will wake anyway */
	return n < 0 && n != -EAGAIN ? (int)n : 0;
}

int sys_reopen_nonblock(int fd, int flags)
{
	char path[40];

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return sys_open(AT_FDCWD, path, flags | O_NONBLOCK | O_NOCTTY, 0);
}

uint64_t sys_monotonic_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

#pragma once
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * System calls that answer with -errno. errno is read in sys.c and nowhere else.
 *
 *   int fd = SYS(openat, dir, "name", O_RDONLY | O_CLOEXEC);       one try
 *   long n = SYS_RETRY(read, fd, buffer, size);                    again after EINTR
 *
 * Both give the call's result, or -errno. Functions that return pointers have wrappers below.
 * Tests can make any call made this way fail: see sys_inject.
 */
#define SYS(call, ...)                                                                             \
	__extension__({                                                                            \
		long sys_r_ = sys_fault(#call);                                                    \
		if (sys_r_ >= 0)                                                                   \
			sys_r_ = sys_result((long)call(__VA_ARGS__));                              \
		sys_r_;                                                                            \
	})

#define SYS_RETRY(call, ...)                                                                       \
	__extension__({                                                                            \
		long sys_again_;                                                                   \
		do                                                                                 \
			sys_again_ = SYS(call, __VA_ARGS__);                                       \
		while (sys_is_interrupted(sys_again_));                                            \
		sys_again_;                                                                        \
	})

/* -errno of the call that just failed. */
long sys_error(void);

/* -errno if result is negative, else result. Inline, so that compiler and checkers see which: what
 * is negative stays negative. */
static inline long sys_result(long result)
{
	long error;

	if (result >= 0)
		return result;
	error = sys_error();
	return error < 0 ? error : -EIO;
}

bool sys_is_interrupted(long result);

/* The text of a negative errno. */
const char *sys_text(int negative_errno);

/* Fault injection, for tests: sys_inject(&fault) makes the call named `call` fail with `result`
 * after `skip` successes, `count` times. NULL ends it. Not thread-safe: set before threads start.
 */
struct sys_fault {
	const char *call;
	int result; /* -errno */
	unsigned skip, count;
};
void sys_inject(struct sys_fault *fault);
int sys_fault(const char *call); /* 0, or the error to report instead of calling */

/* All of `size`, through short counts; -EIO at a premature end of file. */
int sys_read_all(int fd, void *to, size_t size);
int sys_write_all(int fd, const void *from, size_t size);
int sys_pread_all(int fd, void *to, size_t size, uint64_t offset);
int sys_pwrite_all(int fd, const void *from, size_t size, uint64_t offset);

/* *out is set on success only. */
int sys_mmap(void *at, size_t size, int protection, int flags, int fd, uint64_t offset, void **out);
/* The whole of a variadic call's argument list cannot be checked: these fix the types. */
int sys_ioctl(int fd, unsigned long request, void *argument);
int sys_open(int dir_fd, const char *path, int flags, mode_t mode); /* adds O_CLOEXEC */
int sys_eventfd(void); /* not blocking, close-on-exec, 0 */
int sys_eventfd_signal(int fd);

/* A second, non-blocking open file for the pipe or terminal behind `fd`: the caller's own
 * descriptor keeps its blocking mode, which other processes share. Goes through
 * /proc/self/fd, so only for processes that may open paths. -ENXIO and -EACCES are usual
 * refusals (sockets; files of another user): use `fd` itself then. flags: O_RDONLY or O_WRONLY. */
int sys_reopen_nonblock(int fd, int flags);
uint64_t sys_monotonic_ns(void);

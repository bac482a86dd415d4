#include "runtime/net/forward.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/forward_private.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { NOBODY = 65534, MAX_FILES = 16384 };

int forward_watch_set(struct forward_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	int command = watch->events == 0 ? EPOLL_CTL_ADD
		      : events == 0      ? EPOLL_CTL_DEL
					 : EPOLL_CTL_MOD;
	int r;

	if (events == watch->events)
		return 0;
	r = (int)SYS(epoll_ctl, watch->epoll_fd, command, watch->fd, &event);
	if (r == 0)
		watch->events = events;
	return r;
}

static struct forward_target target_of(const struct forward *forward)
{
	struct forward_target out = { .size = 0 };
	struct sockaddr_in *four = (struct sockaddr_in *)&out.address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out.address;

	if (forward->to.size == 4) {
		four->sin_family = AF_INET;
		four->sin_port = htons(forward->to_port);
		memcpy(&four->sin_addr, forward->to.bytes, 4);
		out.size = sizeof *four;
	} else {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(forward->to_port);
		memcpy(&six->sin6_addr, forward->to.bytes, 16);
		out.size = sizeof *six;
	}
	return out;
}

static void on_katavm_gone(struct forward_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	_exit(0);
}

/* Descriptors 0 to count-1 become the sockets, count becomes the pipe to katavm; all others go. */
static int keep_only(const struct forward *list, size_t count, int alive_fd)
{
	int r = 0;

	/* first out of the way of each other, then into their places */
	for (size_t i = 0; r >= 0 && i <= count; i++)
		r = (int)SYS(dup3, i < count ? list[i].fd : alive_fd, MAX_FILES - 2 - (int)i,
			     O_CLOEXEC);
	for (size_t i = 0; r >= 0 && i <= count; i++)
		r = (int)SYS(dup3, MAX_FILES - 2 - (int)i, (int)i, O_CLOEXEC);
	if (r >= 0)
		r = (int)SYS(close_range, (unsigned)count + 1, ~0U, 0);
	return r < 0 ? r : 0;
}

static int drop_rights(void)
{
	int r = (int)SYS(setgroups, 0, NULL);

	if (r == 0)
		r = (int)SYS(setresgid, NOBODY, NOBODY, NOBODY);
	if (r == 0)
		r = (int)SYS(setresuid, NOBODY, NOBODY, NOBODY); /* the capabilities go with it */
	return r == 0 ? (int)SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) : r;
}

static int set_up(const struct forward *list, size_t count, int alive_fd, int *epoll_fd,
		  struct forward_watch *alive)
{
	const struct rlimit files = { .rlim_cur = MAX_FILES, .rlim_max = MAX_FILES };
	int r;

	(void)SYS(setsid); /* Ctrl-C is for the container */
	(void)SYS(prctl, PR_SET_NAME, "katavm-forward", 0, 0, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	r = (int)SYS(setrlimit, RLIMIT_NOFILE, &files);
	if (r == 0)
		r = keep_only(list, count, alive_fd);
	if (r == 0)
		r = drop_rights();
	if (r < 0)
		return r;
	*epoll_fd = (int)SYS(epoll_create1, EPOLL_CLOEXEC);
	*alive = (struct forward_watch){ .fd = (int)count,
					 .epoll_fd = *epoll_fd,
					 .ready = on_katavm_gone };
	r = *epoll_fd < 0 ? *epoll_fd : forward_watch_set(alive, EPOLLIN);
	for (size_t i = 0; r == 0 && i < count; i++) {
		const struct forward_target target = target_of(&list[i]);

		r = list[i].protocol == IPPROTO_UDP ? forward_udp_add(*epoll_fd, (int)i, &target)
						    : forward_tcp_add(*epoll_fd, (int)i, &target);
	}
	return r;
}

/* One event at a time: the handling of one may free what another one of the same batch is about. */
_Noreturn static void serve(int epoll_fd)
{
	for (;;) {
		struct epoll_event event = { .data.ptr = NULL };
		long got = SYS_RETRY(epoll_wait, epoll_fd, &event, 1, -1);
		struct forward_watch *watch = event.data.ptr;

		if (got < 0)
			_exit(1);
		if (got == 1 && watch)
			watch->ready(watch, event.events);
	}
}

int forward_start(const struct forward *list, size_t count, struct forwarder *out,
		  struct error *err)
{
	static struct forward_watch alive;
	own_fd theirs = -1;
	own_fd ours = -1;
	int ends[2], r, epoll_fd = -1;
	pid_t pid;

	*out = (struct forwarder){ .alive_fd = -1 };
	if (count == 0)
		return 0;
	r = (int)SYS(pipe2, ends, O_CLOEXEC);
	if (r < 0)
		return error_set(err, r, "make a pipe: %s", sys_text(r));
	theirs = ends[0];
	ours = ends[1];
	pid = (pid_t)SYS(fork);
	if (pid < 0)
		return error_set(err, (int)pid, "start the forwarder of ports: %s",
				 sys_text((int)pid));
	if (pid == 0) {
		r = set_up(list, count, theirs, &epoll_fd, &alive);
		if (r < 0)
			_exit(1);
		serve(epoll_fd);
	}
	*out = (struct forwarder){ .pid = pid, .alive_fd = take_fd(&ours) };
	return 0;
}

void forward_stop(struct forwarder *forwarder)
{
	if (forwarder->pid == 0)
		return;
	close_fd(&forwarder->alive_fd);
	(void)SYS_RETRY(waitpid, forwarder->pid, NULL, 0);
	forwarder->pid = 0;
}

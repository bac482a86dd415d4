/*
 * The guest's init. It owes the kernel nothing but not to end: it connects to the host, makes
 * itself a root that containers can be moved away from, and then serves the connection until that
 * ends, which is the end of the guest.
 */
#include "agent/agent.h"
#include "agent/container.h"
#include "agent/kernel.h"
#include "agent/sandbox.h"
#include "agent/server.h"
#include "agent/transport.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

enum { CONTROL_PORT = 1024, CONNECT_LIMIT_MS = 10000, MAX_FILES = 1 << 20 };

/* The kernel's log, the only place left when there is no connection. */
static void log_kernel(const char *step, int r)
{
	char line[160];
	own_fd fd = -1;

	(void)SYS(mknod, "/kmsg", S_IFCHR | 0600, makedev(1, 11));
	fd = (int)SYS(open, "/kmsg", O_WRONLY | O_CLOEXEC);
	(void)snprintf(line, sizeof line, "<3>katavm agent: %s: %s\n", step, sys_text(r));
	if (fd >= 0)
		(void)SYS(write, fd, line, strlen(line));
}

/* Descriptors 0 to 2 belong to processes to come. */
static int connect_host(void)
{
	int low = transport_connect(CONTROL_PORT);
	int fd = low < 0 ? low : (int)SYS(fcntl, low, F_DUPFD_CLOEXEC, 3);

	if (low >= 0)
		(void)close(low);
	return fd;
}

static int await_host(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;
	int r = (int)SYS_RETRY(poll, &poll_fd, 1, CONNECT_LIMIT_MS);

	if (r == 0)
		return -ETIMEDOUT;
	if (r > 0)
		r = (int)SYS(getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return r < 0 ? r : -error;
}

/* The initial root cannot be moved away from (pivot_root), so a tmpfs goes on top. Below it this
 * program's own file is out of reach, and read-only for who reaches it. */
static int change_root(void)
{
	const struct kernel_mount_change readonly = { .set = KERNEL_MOUNT_RDONLY };
	own_fd below = (int)SYS(open, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_fd root = kernel_mount_detached("tmpfs", KERNEL_MOUNT_NOSUID | KERNEL_MOUNT_NOEXEC);
	int r = below < 0 ? below : root;

	if (r >= 0)
		r = kernel_attach(root, below);
	if (r >= 0)
		r = (int)SYS(fchdir, root);
	if (r >= 0)
		r = (int)SYS(chroot, ".");
	return r < 0 ? r : kernel_change_mount(below, &readonly);
}

static int open_null(struct agent *agent)
{
	int r = (int)SYS(mknod, AGENT_NULL_PATH, S_IFCHR | 0666, makedev(1, 3));
	own_fd fd = -1;

	if (r < 0)
		return r;
	fd = (int)SYS(open, AGENT_NULL_PATH, O_RDWR | O_CLOEXEC);
	for (int i = 0; r >= 0 && fd >= 0 && i < 3; i++)
		if (SYS(fcntl, i, F_GETFD) < 0)
			r = (int)SYS(dup2, fd, i);
	if (r >= 0)
		r = fd < 0 ? fd : (int)SYS(fcntl, fd, F_DUPFD_CLOEXEC, 3);
	agent->null_device = r;
	if (fd < 3)
		(void)take_fd(&fd);
	return r;
}

/* Streams, pipes and processes of many containers; what they inherit is set by their own limits. */
static void raise_limits(void)
{
	const struct rlimit limit = { .rlim_cur = MAX_FILES, .rlim_max = MAX_FILES };

	(void)SYS(setrlimit, RLIMIT_NOFILE, &limit);
}

static void on_child(struct watch *watch, uint32_t events)
{
	struct agent *agent = container_of(watch, struct agent, signal_watch);
	struct signalfd_siginfo info;
	int status;
	long pid;

	(void)events;
	(void)SYS(read, watch->fd, &info, sizeof info);
	while ((pid = SYS(waitpid, -1, &status, WNOHANG)) > 0) {
		container_reap(agent, (pid_t)pid, status);
		sandbox_process_ended(agent);
	}
}

static void on_host(struct watch *watch, uint32_t events)
{
	struct agent *agent = container_of(watch, struct agent, server_watch);

	(void)events;
	if (ttrpc_server_process(agent->server) < 0)
		sandbox_power_off(agent->reboot);
}

static int watch_children(struct agent *agent)
{
	sigset_t signals;
	int fd;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGCHLD);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	fd = (int)SYS(signalfd, -1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return fd;
	agent->signal_watch = (struct watch){ .fd = fd, .ready = on_child };
	return loop_watch(&agent->loop, &agent->signal_watch, EPOLLIN);
}

static int serve(struct agent *agent)
{
	for (;;) {
		/* poll's and epoll's bits for reading and writing are the same */
		uint32_t events = (uint32_t)ttrpc_server_events(agent->server);
		int r = loop_watch(&agent->loop, &agent->server_watch, events);

		if (r == 0)
			r = loop_turn(&agent->loop);
		if (r < 0)
			return r;
	}
}

static int start(struct agent *agent, const struct ttrpc_service *service, const char **step)
{
	own_fd host = connect_host();
	int r = host;

	*step = "connect to the host";
	if (r < 0)
		return r;
	*step = "make a root";
	(void)SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)umask(0);
	r = change_root();
	if (r >= 0)
		r = open_null(agent);
	if (r >= 0) {
		raise_limits();
		*step = "connect to the host";
		r = await_host(host);
	}
	agent->hello_ns = kernel_boottime_ns();
	if (r >= 0) {
		*step = "start the event loop";
		r = loop_init(&agent->loop);
	}
	if (r >= 0)
		r = watch_children(agent);
	if (r < 0)
		return r;
	r = ttrpc_server_create(take_fd(&host), service, 1, &agent->server);
	if (r == 0)
		agent->server_watch =
		    (struct watch){ .fd = ttrpc_server_fd(agent->server), .ready = on_host };
	return r;
}

int main(void)
{
	static struct agent agent = { .cgroup_root = -1, .null_device = -1, .pid_namespace = -1 };
	struct ttrpc_service service = server_service(&agent);
	const char *step = "";
	int r;

	agent.main_ns = kernel_boottime_ns();
	r = start(&agent, &service, &step);
	if (r >= 0) {
		step = "serve the host";
		r = serve(&agent);
	}
	log_kernel(step, r);
	sandbox_power_off(false);
}

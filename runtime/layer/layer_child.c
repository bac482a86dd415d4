#include "runtime/layer/layer_child.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/layer/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { MAX_WORDS = 8, ABOVE = 10 };

/* The child's descriptors are moved out of the way first, since dup2 would overwrite them. */
static int high_copy(int fd)
{
	return (int)SYS(fcntl, fd, F_DUPFD_CLOEXEC, ABOVE);
}

static int set_files(posix_spawn_file_actions_t *files, int socket, int file)
{
	int r = 0;

	for (int fd = 0; r == 0 && fd <= STDERR_FILENO; fd++)
		r = posix_spawn_file_actions_addopen(files, fd, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, socket, CHILD_SOCKET);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, file, CHILD_FILE);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(files, CHILD_FILE + 1);
	return -r;
}

static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t set;
	int r;

	(void)sigemptyset(&set);
	r = posix_spawnattr_setsigmask(attr, &set);
	(void)sigfillset(&set);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &set);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return -r;
}

static int spawn(const char *const *words, int socket, int file, pid_t *pid)
{
	char role[] = LAYER_ROLE, *argv[MAX_WORDS + 2] = { role }, *environment[] = { NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r;

	for (size_t i = 0; i < MAX_WORDS && words[i]; i++)
		argv[i + 1] = (char *)(uintptr_t)words[i]; /* posix_spawn does not write there */
	r = -posix_spawn_file_actions_init(&files);
	if (r < 0)
		return r;
	r = -posix_spawnattr_init(&attr);
	if (r == 0) {
		r = set_files(&files, socket, file);
		if (r == 0)
			r = set_signals(&attr);
		if (r == 0)
			r = -posix_spawn(pid, "/proc/self/exe", &files, &attr, argv, environment);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return r;
}

int layer_child_start(const char *const *words, int file, struct layer_child *child,
		      struct error *err)
{
	own_fd mine = -1;
	own_fd theirs = -1;
	own_fd file_copy = high_copy(file);
	int pair[2], r;
	pid_t pid = 0;

	r = file_copy < 0 ? file_copy
			  : (int)SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	if (r == 0) {
		own_fd low = pair[1];

		mine = pair[0];
		theirs = high_copy(low);
		r = theirs < 0 ? theirs : spawn(words, theirs, file_copy, &pid);
	}
	if (r < 0)
		return error_set(err, r, "start a layer's converter: %s", sys_text(r));
	child->pid = pid;
	child->socket = take_fd(&mine);
	return 0;
}

int layer_child_end(struct layer_child *child)
{
	int status = 0;
	long r;

	if (!child->pid)
		return 0;
	(void)close(child->socket);
	/* One that ended by itself keeps its status; the others wait for frames that do not come.
	 */
	r = SYS_RETRY(waitpid, child->pid, &status, WNOHANG);
	if (r == 0) {
		(void)kill(child->pid, SIGKILL);
		(void)SYS_RETRY(waitpid, child->pid, &status, 0);
		status = 0;
	}
	*child = (struct layer_child){ 0 };
	return r > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

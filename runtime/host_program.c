#include "runtime/host_program.h"

#include "base/sys.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>

int host_program_start(char *const *argv, const int *descriptors, size_t count, pid_t *pid)
{
	static char *const environment[] = {
		(char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		(char *)(uintptr_t) "LC_ALL=C", NULL
	};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setpgroup(&attributes, 0);
	(void)posix_spawn_file_actions_init(&actions);
	for (size_t i = 0; i < count; i++)
		if (descriptors[i] < 0)
			(void)posix_spawn_file_actions_addopen(&actions, (int)i, "/dev/null",
							       O_RDWR, 0);
		else
			(void)posix_spawn_file_actions_adddup2(&actions, descriptors[i], (int)i);
	r = -posix_spawn(pid, argv[0], &actions, &attributes, argv, environment);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	return r;
}

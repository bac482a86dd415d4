#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * Starts a program of the host's (nft, passt) with a small environment of its own, no signal
 * blocked, in its own process group: Ctrl-C at the terminal is not for it. Its descriptor i is a
 * copy of descriptors[i]; -1 stands for /dev/null. argv ends with NULL, argv[0] is the path.
 * The caller waits for *pid.
 */
int host_program_start(char *const *argv, const int *descriptors, size_t count, pid_t *pid);

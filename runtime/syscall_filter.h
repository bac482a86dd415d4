#pragma once
#include "base/error.h"
#include "runtime/arena.h"
#include <stdint.h>

struct syscall_filter {
	const void *bytes; /* struct sock_filter */
	size_t size;
};

/* The default filter for a process with these capabilities. Ready-made when none of them makes a
 * difference to it, else compiled now. */
int syscall_filter_select(uint64_t capabilities, struct arena *arena, struct syscall_filter *out,
			  struct error *err);

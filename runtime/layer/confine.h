#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct confine_limits {
	uint64_t memory_bytes; /* address space */
	uint64_t file_bytes;   /* length of any file written */
	bool writes_file;      /* or only reads and talks to its socket */
};

/* Gives up, for the rest of the process's life, everything but computing, reading from what is
 * open, talking on connected sockets, and writing one file. Opening, connecting, executing and
 * signalling end it. */
int confine(const struct confine_limits *limits, struct error *err);

#pragma once
#include <stdint.h>
#include <sys/types.h>

/* Times of a run's stages for benchmarks: one JSON object per line, {"stage":NAME,"ns":TIME}, in
 * nanoseconds of the host's CLOCK_MONOTONIC. Costs nothing when no file was asked for. */
struct trace {
	int fd; /* -1: off */
};

/* Appends to the file at path (NULL: off). Failing to is not an error of the run. */
void trace_open(struct trace *trace, const char *path);
void trace_close(struct trace *trace);

void trace_stage(const struct trace *trace, const char *stage, uint64_t ns);
void trace_count(const struct trace *trace, const char *name, uint64_t value);

/* When this process was started: now, less the processor time it has used. */
uint64_t trace_process_start_ns(void);

/* Memory of process pid that is its own: without files it shares, and without the guest's RAM. 0
 * when it cannot be read. */
uint64_t trace_private_kib(pid_t pid);

#include "runtime/trace.h"

#include "base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void trace_open(struct trace *trace, const char *path)
{
	int fd = path ? sys_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;

	trace->fd = fd < 0 ? -1 : fd;
}

void trace_close(struct trace *trace)
{
	if (trace->fd >= 0)
		(void)close(trace->fd);
	trace->fd = -1;
}

static void put(const struct trace *trace, const char *key, const char *name, const char *unit,
		uint64_t value)
{
	char line[160];
	int size;

	if (trace->fd < 0)
		return;
	size = snprintf(line, sizeof line, "{\"%s\":\"%s\",\"%s\":%llu}\n", key, name, unit,
			(unsigned long long)value);
	(void)sys_write_all(trace->fd, line, (size_t)size);
}

void trace_stage(const struct trace *trace, const char *stage, uint64_t ns)
{
	put(trace, "stage", stage, "ns", ns);
}

void trace_count(const struct trace *trace, const char *name, uint64_t value)
{
	put(trace, "count", name, "value", value);
}

uint64_t trace_process_start_ns(void)
{
	struct timespec used = { 0 };

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return sys_monotonic_ns() - (uint64_t)used.tv_sec * 1000000000 - (uint64_t)used.tv_nsec;
}

/* The last line of a mapping in /proc/PID/smaps has its flags. Guest memory is what the VMM wants
 * in no core dump, "dd"; the kernel's file is mapped into it. */
uint64_t trace_private_kib(pid_t pid)
{
	static const char *const keys[] = { "Private_Clean:", "Private_Dirty:" };
	char line[512];
	unsigned long total = 0, mapping = 0;
	bool kernel = false;
	FILE *file;

	(void)snprintf(line, sizeof line, "/proc/%d/smaps", pid);
	file = fopen(line, "re");
	while (file && fgets(line, sizeof line, file)) {
		if (line[0] < 'A' || line[0] > 'Z') {
			kernel = strstr(line, "vmlinux") != NULL;
			mapping = 0;
		}
		for (size_t i = 0; i < 2; i++)
			if (strncmp(line, keys[i], strlen(keys[i])) == 0)
				mapping += strtoul(line + strlen(keys[i]), NULL, 10);
		if (strncmp(line, "VmFlags:", 8) == 0 && !kernel && !strstr(line, " dd"))
			total += mapping;
	}
	if (file)
		(void)fclose(file);
	return total;
}

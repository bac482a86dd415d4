#include "agent/cgroup.h"

#include "agent/kernel.h"
#include "agent/paths.h"
#include "base/own.h"
#include "base/sys.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { VALUE_SIZE = 64, MAX_DEPTH = 32 };

int cgroup_mount(void)
{
	return kernel_mount_detached("cgroup2", KERNEL_MOUNT_NOSUID | KERNEL_MOUNT_NODEV |
						    KERNEL_MOUNT_NOEXEC);
}

/* Only what is needed: each controller costs every group under it. Memory always, for it is what
 * tells that a process died of the memory's end. */
static void wanted_controllers(const message_resources *resources, char *text, size_t size)
{
	bool cpu = resources && (resources->cpu_quota_us || resources->cpu_weight);
	bool cpuset = resources && (*resources->cpuset_cpus || *resources->cpuset_mems);
	bool io = false;

	for (size_t i = 0; resources && i < resources->n_unified; i++) {
		const char *name = resources->unified[i]->name;

		cpu |= strncmp(name, "cpu.", 4) == 0;
		cpuset |= strncmp(name, "cpuset.", 7) == 0;
		io |= strncmp(name, "io.", 3) == 0;
	}
	(void)snprintf(text, size, "+memory +pids%s%s%s", cpu ? " +cpu" : "",
		       cpuset ? " +cpuset" : "", io ? " +io" : "");
}

/* Each folder of path hands the controllers to the next. */
static int make_groups(int root, const char *path, const char *controllers, int *out)
{
	own_fd at = (int)SYS(openat, root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		return at;
	while (*(path += strspn(path, "/"))) {
		size_t length = strcspn(path, "/");
		char name[256];
		int r, next;

		if (length >= sizeof name)
			return -ENAMETOOLONG;
		memcpy(name, path, length);
		name[length] = '\0';
		r = paths_set(at, "cgroup.subtree_control", controllers);
		if (r == 0)
			r = (int)SYS(mkdirat, at, name, 0755);
		if (r < 0 && r != -EEXIST)
			return r;
		next = (int)SYS(openat, at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return next;
		(void)close(at);
		at = next;
		path += length;
	}
	*out = take_fd(&at);
	return 0;
}

static int set_number(int group, const char *file, int64_t value, struct error *err)
{
	char text[VALUE_SIZE];
	int r;

	if (value == 0)
		return 0;
	if (value < 0)
		(void)snprintf(text, sizeof text, "max");
	else
		(void)snprintf(text, sizeof text, "%lld", (long long)value);
	r = paths_set(group, file, text);
	return r < 0 ? error_set(err, r, "cgroup: set %s to %s: %s", file, text, sys_text(r)) : 0;
}

static int set_text(int group, const char *file, const char *value, struct error *err)
{
	int r = *value ? paths_set(group, file, value) : 0;

	return r < 0 ? error_set(err, r, "cgroup: set %s to %s: %s", file, value, sys_text(r)) : 0;
}

static int set_cpu_max(int group, const message_resources *resources, struct error *err)
{
	unsigned long long period = resources->cpu_period_us ? resources->cpu_period_us : 100000;
	char text[VALUE_SIZE];

	if (resources->cpu_quota_us == 0)
		return 0;
	if (resources->cpu_quota_us < 0)
		(void)snprintf(text, sizeof text, "max %llu", period);
	else
		(void)snprintf(text, sizeof text, "%lld %llu", (long long)resources->cpu_quota_us,
			       period);
	return set_text(group, "cpu.max", text, err);
}

static int set_limits(int group, const message_resources *resources, struct error *err)
{
	const struct {
		const char *file;
		int64_t value;
	} numbers[] = {
		{ "memory.max", resources->memory_max },
		{ "memory.high", resources->memory_high },
		{ "memory.low", resources->memory_low },
		{ "memory.swap.max", resources->swap_max },
		{ "pids.max", resources->pids_max },
		{ "cpu.weight", (int64_t)resources->cpu_weight },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof numbers / sizeof *numbers; i++)
		r = set_number(group, numbers[i].file, numbers[i].value, err);
	if (r == 0)
		r = set_cpu_max(group, resources, err);
	if (r == 0)
		r = set_text(group, "cpuset.cpus", resources->cpuset_cpus, err);
	if (r == 0)
		r = set_text(group, "cpuset.mems", resources->cpuset_mems, err);
	for (size_t i = 0; r == 0 && i < resources->n_unified; i++)
		r = set_text(group, resources->unified[i]->name, resources->unified[i]->value, err);
	return r;
}

int cgroup_create(int root, const char *path, const message_resources *resources, struct error *err)
{
	char controllers[VALUE_SIZE];
	own_fd group = -1;
	int r;

	wanted_controllers(resources, controllers, sizeof controllers);
	r = make_groups(root, path, controllers, &group);
	if (r < 0)
		return error_set(err, r, "make the cgroup %s: %s", path, sys_text(r));
	r = resources ? set_limits(group, resources, err) : 0;
	return r < 0 ? r : take_fd(&group);
}

int cgroup_update(int group, const message_resources *resources, struct error *err)
{
	return set_limits(group, resources, err);
}

int cgroup_memory(int group, uint64_t *out)
{
	own_fd fd = (int)SYS(openat, group, "memory.current", O_RDONLY | O_CLOEXEC);
	char text[VALUE_SIZE];
	long got = fd < 0 ? fd : SYS(read, fd, text, sizeof text - 1);

	if (got < 0)
		return (int)got;
	text[got] = '\0';
	*out = strtoull(text, NULL, 10);
	return 0;
}

void cgroup_reclaim(int group, uint64_t size)
{
	char text[VALUE_SIZE];

	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)size);
	(void)paths_set(group, "memory.reclaim", text);
}

int cgroup_kill(int group)
{
	return paths_set(group, "cgroup.kill", "1");
}

bool cgroup_saw_oom_kill(int group)
{
	own_fd fd = (int)SYS(openat, group, "memory.events", O_RDONLY | O_CLOEXEC);
	char text[512];
	const char *line;
	long got = fd < 0 ? fd : SYS(read, fd, text, sizeof text - 1);

	if (got < 0)
		return false;
	text[got] = '\0';
	line = strstr(text, "oom_kill ");
	return line && line[strlen("oom_kill ")] != '0';
}

/* NOLINTNEXTLINE(misc-no-recursion): to MAX_DEPTH */
static int remove_inner(int group, unsigned depth)
{
	struct dirent *entry;
	int fd = depth == MAX_DEPTH
		     ? -ELOOP
		     : (int)SYS(openat, group, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		own_fd_release(&fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		own_fd inner = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		inner = (int)SYS(openat, group, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (inner >= 0)
			(void)remove_inner(inner, depth + 1);
		(void)SYS(unlinkat, group, entry->d_name, AT_REMOVEDIR);
	}
	(void)closedir(dir);
	return 0;
}

int cgroup_remove(int root, const char *path)
{
	const char *relative = path + strspn(path, "/");
	own_fd group = (int)SYS(openat, root, relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (group < 0)
		return group == -ENOENT ? 0 : group;
	(void)remove_inner(group, 0);
	return (int)SYS(unlinkat, root, relative, AT_REMOVEDIR);
}

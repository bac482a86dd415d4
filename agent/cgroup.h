#pragma once
#include "agent/message.h"
#include "base/error.h"
#include <stdbool.h>

/* cgroup v2. `root` is a descriptor of the hierarchy's root, path is below it and has no "..". */

/* A detached mount of the hierarchy. */
int cgroup_mount(void);

/* Makes the group and sets its limits; gives a descriptor of it, for clone and the rest here. */
int cgroup_create(int root, const char *path, const message_resources *resources,
		  struct error *err);
/* Changes the limits that are set in resources, whose controllers it has. */
int cgroup_update(int group, const message_resources *resources, struct error *err);
/* Memory in use, in bytes. */
int cgroup_memory(int group, uint64_t *out);
/* Asks the kernel to free so much of it; it may free less. */
void cgroup_reclaim(int group, uint64_t size);
int cgroup_kill(int group);
bool cgroup_saw_oom_kill(int group);

/* Removes the group and those made inside it. -EBUSY while a process is in one. */
int cgroup_remove(int root, const char *path);

/* The rules become the group's device program. */
int cgroup_restrict_devices(int group, message_device_rule *const *rules, size_t count,
			    struct error *err);

#include "agent/devices.h"

#include "agent/kernel.h"
#include "agent/paths.h"
#include "base/own.h"
#include "base/sys.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_AFTER_MS = 1000, MAX_SLOTS = 64 };

static bool is_empty_slot(int slots, const char *name)
{
	char path[300];

	if (strncmp(name, "virtio-mmio.", strlen("virtio-mmio.")) != 0)
		return false;
	(void)snprintf(path, sizeof path, "%s/driver", name);
	return SYS(faccessat, slots, path, F_OK, AT_SYMLINK_NOFOLLOW) == -ENOENT;
}

/* Before there is a device that brings memory: what comes is used at once, as memory that can be
 * taken away again as far as the kernel can do without it for itself. */
static void accept_memory(int sysfs)
{
	(void)paths_set(sysfs, "module/memory_hotplug/parameters/online_policy", "auto-movable");
	(void)paths_set(sysfs, "devices/system/memory/auto_online_blocks", "online");
}

int devices_look(void)
{
	own_fd sysfs = kernel_mount_detached("sysfs", 0);
	int slots = sysfs < 0 ? sysfs
			      : (int)SYS(openat, sysfs, "bus/platform/devices",
					 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;

	if (slots < 0)
		return slots;
	dir = fdopendir(slots);
	if (!dir) {
		(void)close(slots);
		return -ENOMEM;
	}
	accept_memory(sysfs);
	while ((entry = readdir(dir)))
		if (is_empty_slot(slots, entry->d_name)) /* -ENODEV: it is still empty */
			(void)paths_set(sysfs, "bus/platform/drivers/virtio-mmio/bind",
					entry->d_name);
	(void)closedir(dir);
	return 0;
}

int devices_release(unsigned slot)
{
	own_fd sysfs = kernel_mount_detached("sysfs", 0);
	char name[32], path[128];
	bool is_disk = false;
	struct dirent *entry;
	DIR *dir;
	int fd;

	if (slot >= MAX_SLOTS)
		return -ENODEV;
	if (sysfs < 0)
		return sysfs;
	(void)snprintf(name, sizeof name, "virtio-mmio.%u", slot);
	(void)snprintf(path, sizeof path, "bus/platform/devices/%s", name);
	fd = (int)SYS(openat, sysfs, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fd == -ENOENT ? -ENODEV : fd;
	dir = fdopendir(fd);
	if (!dir) {
		(void)close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) { /* virtioN/block: only disks come and go */
		(void)snprintf(path, sizeof path, "%.60s/block", entry->d_name);
		if (strncmp(entry->d_name, "virtio", strlen("virtio")) == 0 &&
		    SYS(faccessat, fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			is_disk = true;
	}
	(void)closedir(dir);
	return is_disk ? paths_set(sysfs, "bus/platform/drivers/virtio-mmio/unbind", name)
		       : -ENODEV;
}

static void on_look(struct timer *timer)
{
	(void)timer;
	(void)devices_look();
}

void devices_look_later(struct agent *agent)
{
	agent->look_timer.expired = on_look;
	loop_set_timer(&agent->loop, &agent->look_timer, LOOK_AFTER_MS);
}

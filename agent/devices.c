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

enum { LOOK_AFTER_MS = 1000 };

static bool is_empty_slot(int slots, const char *name)
{
	char path[300];

	if (strncmp(name, "virtio-mmio.", strlen("virtio-mmio.")) != 0)
		return false;
	(void)snprintf(path, sizeof path, "%s/driver", name);
	return SYS(faccessat, slots, path, F_OK, AT_SYMLINK_NOFOLLOW) == -ENOENT;
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
	while ((entry = readdir(dir)))
		if (is_empty_slot(slots, entry->d_name)) /* -ENODEV: it is still empty */
			(void)paths_set(sysfs, "bus/platform/drivers/virtio-mmio/bind",
					entry->d_name);
	(void)closedir(dir);
	return 0;
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

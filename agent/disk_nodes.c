#include "agent/disk_nodes.h"

#include "agent/cgroup.h"
#include "agent/devices.h"
#include "agent/nodes.h"
#include "base/own.h"
#include "base/sys.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static int root_of(const struct container *container, struct error *err)
{
	return container->first && container->first->root >= 0
		   ? container->first->root
		   : error_set(err, -ENOENT, "the container has no root file system yet");
}

/* Behind the container's own rules, so that it is asked first. */
static int allow(const struct container *container, const message_attach *message,
		 const struct disks_found *disk, struct error *err)
{
	static char read_access[] = "rm", all_access[] = "rwm";
	message_device_rule rule = KATAVM__AGENT__V1__DEVICE_RULE__INIT;
	size_t count = message->n_device_rules;
	own_mem message_device_rule **rules = NULL;

	if (count == 0)
		return 0;
	rules = calloc(count + 1, sizeof *rules);
	if (!rules)
		return error_set(err, -ENOMEM, "no memory for the device rules");
	for (size_t i = 0; i < count; i++)
		rules[i] = message->device_rules[i];
	rule.allow = true;
	rule.type = (char[]){ "b" };
	rule.major = disk->major;
	rule.minor = disk->minor;
	rule.access = message->read_only ? read_access : all_access;
	rules[count] = &rule;
	return cgroup_restrict_devices(container->cgroup, rules, count + 1, err);
}

int disk_nodes_attach(const struct container *container, const message_attach *message,
		      struct disks_found *out, char *out_path, struct error *err)
{
	int root = root_of(container, err), r = root < 0 ? root : devices_look();
	char path[PATH_MAX];
	struct disks_found disk = { 0 };

	if (root < 0)
		return root;
	if (r == 0)
		r = disks_find(message->serial, &disk);
	if (r < 0)
		return error_set(err, r, "find the disk %s: %s", message->serial, sys_text(r));
	if (*message->path)
		(void)snprintf(path, sizeof path, "%s", message->path);
	else
		(void)snprintf(path, sizeof path, "/dev/%s", disk.name);
	r = nodes_make_disk(root, path, disk.major, disk.minor, err);
	if (r < 0)
		return r;
	r = allow(container, message, &disk, err);
	if (r < 0) {
		nodes_remove_disk(root, path, disk.major, disk.minor);
		return r;
	}
	*out = disk;
	(void)snprintf(out_path, PATH_MAX, "%s", path);
	return 0;
}

int disk_nodes_detach(const struct container *container, const message_detach *message,
		      struct error *err)
{
	int root = root_of(container, err), r = root < 0 ? root : 0;
	struct disks_found disk = { 0 };

	if (r < 0)
		return r;
	r = disks_find(message->serial, &disk);
	if (r < 0 && r != -ENODEV) /* the driver may have let go of it before */
		return error_set(err, r, "find the disk %s: %s", message->serial, sys_text(r));
	if (r == 0) {
		if (disks_is_used(&disk) && !message->force)
			return error_set(err, -EBUSY, "it is mounted in the container");
		if (*message->path)
			nodes_remove_disk(root, message->path, disk.major, disk.minor);
	}
	if (message->n_device_rules > 0)
		r = cgroup_restrict_devices(container->cgroup, message->device_rules,
					    message->n_device_rules, err);
	else
		r = 0;
	if (r < 0)
		return r;
	r = devices_release(message->slot);
	return r < 0 && r != -ENODEV
		   ? error_set(err, r, "the disk in slot %u: %s", message->slot, sys_text(r))
		   : 0;
}

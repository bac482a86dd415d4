#include "agent/container_setup.h"

#include "agent/cgroup.h"
#include "agent/kernel.h"
#include "agent/mounts.h"
#include "agent/network.h"
#include "agent/nodes.h"
#include "agent/paths.h"
#include "agent/report.h"
#include "agent/rootfs.h"
#include "agent/sysctl.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static int set_names(const message_container *container, struct error *err)
{
	int r = 0;

	if (*container->hostname)
		r = (int)SYS(sethostname, container->hostname, strlen(container->hostname));
	if (r == 0 && *container->domainname)
		r = (int)SYS(setdomainname, container->domainname, strlen(container->domainname));
	return r < 0 ? error_set(err, r, "set the host name: %s", sys_text(r)) : 0;
}

static int write_files(int root, const message_container *container, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < container->n_files; i++) {
		const message_file *file = container->files[i];

		r = paths_write(root, file->path, file->content.data, file->content.len,
				file->mode ? file->mode & 07777 : 0644, file->append, err);
	}
	return r;
}

static int hide_paths(int root, const struct launch *launch, struct error *err)
{
	/* The agent's descriptor is of its own mount namespace, which we have left. */
	own_fd null_device = (int)SYS(open, launch->null_path, O_PATH | O_CLOEXEC);
	const message_container *container = launch->container;
	int r = null_device < 0 ? error_set(err, null_device, "open %s: %s", launch->null_path,
					    sys_text(null_device))
				: 0;

	for (size_t i = 0; r == 0 && i < container->n_readonly_paths; i++)
		r = mounts_make_readonly(root, container->readonly_paths[i], err);
	for (size_t i = 0; r == 0 && i < container->n_masked_paths; i++)
		r = mounts_mask(root, container->masked_paths[i], null_device, err);
	return r;
}

/* Files come before mounts, so that a mount may cover one; the sysctls before the paths of /proc
 * become read-only. */
static int fill_root(int root, const struct launch *launch, struct error *err)
{
	const message_container *container = launch->container;
	int r = write_files(root, container, err);

	for (size_t i = 0; r == 0 && i < container->n_mounts; i++)
		r = mounts_make(root, container->mounts[i], err);
	if (r == 0)
		r = nodes_make(root, container, err);
	if (r == 0 && *container->process->cwd) { /* an image's WORKDIR need not exist */
		own_fd made = paths_make(root, container->process->cwd, PATHS_FOLDER, err);

		r = made < 0 ? made : 0;
	}
	if (r == 0)
		r = sysctl_set(container->sysctls, container->n_sysctls, err);
	return r < 0 ? r : hide_paths(root, launch, err);
}

int container_setup(const struct launch *launch, struct error *err)
{
	const message_container *container = launch->container;
	own_fd root = -1;
	int r = 0;

	if (launch->new_namespaces & CLONE_NEWUTS)
		r = set_names(container, err);
	if (r == 0 && launch->new_namespaces & CLONE_NEWNET) {
		r = network_raise_loopback();
		if (r < 0)
			return error_set(err, r, "raise the loopback interface: %s", sys_text(r));
	}
	if (r < 0)
		return r;
	root = rootfs_make(container->rootfs, container->id, launch->place, err);
	if (root < 0)
		return root;
	/* The agent holds it, so that the first process's end need not wait for the file systems to
	 * be unmounted: they are when the container is deleted, and with a VM that ends, never. */
	r = report_send(launch->report, &(struct report){ .kind = REPORT_ROOT }, root);
	if (r < 0)
		return error_set(err, r, "hand on the root: %s", sys_text(r));
	r = fill_root(root, launch, err);
	if (r == 0)
		r = rootfs_enter(root, container, err);
	/* Only now: the rules hold for us already, and the disks were none of the container's. */
	return r < 0 ? r
		     : cgroup_restrict_devices(launch->cgroup, container->device_rules,
					       container->n_device_rules, err);
}

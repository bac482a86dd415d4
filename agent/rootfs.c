#include "agent/rootfs.h"

#include "agent/disks.h"
#include "agent/kernel.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * place/0, place/1, ...   the layers, topmost first
 * place/rw                the writable file system; c/ID/upper and c/ID/work are this container's
 * place/root              the overlay
 */

enum { PATH_SIZE = 256 };

/* Attaches a detached mount to the folder place/name, which is made. */
static int attach_at(const char *place, const char *name, int mount)
{
	char path[PATH_SIZE];
	own_fd target = -1;
	int r;

	(void)snprintf(path, sizeof path, "%s/%s", place, name);
	r = (int)SYS(mkdir, path, 0755);
	if (r < 0 && r != -EEXIST)
		return r;
	target = (int)SYS(open, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return target < 0 ? target : kernel_attach(mount, target);
}

/* Appends to a text of fixed size; -E2BIG when it is full. */
static int append(char *text, size_t size, const char *part)
{
	size_t used = strlen(text), more = strlen(part);

	if (used + more >= size)
		return -E2BIG;
	memcpy(text + used, part, more + 1);
	return 0;
}

static int mount_layers(const message_rootfs *rootfs, const char *place, char *lower, size_t size,
			struct error *err)
{
	for (size_t i = 0; i < rootfs->n_layer_serials; i++) {
		own_fd mount = disks_mount_layer(rootfs->layer_serials[i], err);
		char name[32], part[PATH_SIZE];
		int r;

		if (mount < 0)
			return mount;
		(void)snprintf(name, sizeof name, "%zu", i);
		(void)snprintf(part, sizeof part, "%s%s/%s", i ? ":" : "", place, name);
		r = attach_at(place, name, mount);
		if (r == 0)
			r = append(lower, size, part);
		if (r < 0)
			return error_set(err, r, "attach layer %zu: %s", i, sys_text(r));
	}
	return 0;
}

static int mount_tmpfs(uint64_t size_bytes)
{
	own_fd fs = kernel_fsopen("tmpfs");
	char size[32];
	int r = fs;

	(void)snprintf(size, sizeof size, "%llu", (unsigned long long)size_bytes);
	if (r >= 0 && size_bytes > 0)
		r = kernel_fsconfig(fs, "size", size);
	return r < 0 ? r : kernel_fsmount(fs, 0);
}

static int make_folder(const char *path)
{
	int r = (int)SYS(mkdir, path, 0755);

	return r == -EEXIST ? 0 : r;
}

/* The writable file system, with the folders that the overlay wants. */
static int mount_writable(const message_rootfs *rootfs, const char *id, const char *place,
			  struct error *err)
{
	bool on_disk = *rootfs->scratch_serial;
	own_fd mount = on_disk
			   ? disks_mount_scratch(rootfs->scratch_serial, rootfs->scratch_kept, err)
			   : mount_tmpfs(rootfs->tmpfs_size_bytes);
	static const char *const folders[] = { "", "/upper", "/work" };
	char path[PATH_SIZE];
	int r;

	if (mount < 0)
		return on_disk
			   ? mount
			   : error_set(err, mount, "mount the writable layer: %s", sys_text(mount));
	r = attach_at(place, "rw", mount);
	(void)snprintf(path, sizeof path, "%s/rw/c", place);
	if (r ==
	    0) /* a folder of the disk's root would be put far from it, where nothing is read yet */
		r = make_folder(path);
	for (size_t i = 0; r == 0 && i < sizeof folders / sizeof *folders; i++) {
		(void)snprintf(path, sizeof path, "%s/rw/c/%s%s", place, id, folders[i]);
		r = make_folder(path);
	}
	return r < 0 ? error_set(err, r, "prepare the writable layer: %s", sys_text(r)) : 0;
}

static int mount_overlay(const message_rootfs *rootfs, const char *id, const char *place,
			 const char *lower, struct error *err)
{
	own_fd fs = kernel_fsopen("overlay");
	own_fd mount = -1;
	char path[PATH_SIZE], said[160] = "";
	int r = fs < 0 ? fs : kernel_fsconfig(fs, "lowerdir", lower);

	if (r >= 0) {
		(void)snprintf(path, sizeof path, "%s/rw/c/%s/upper", place, id);
		r = kernel_fsconfig(fs, "upperdir", path);
	}
	if (r >= 0) {
		(void)snprintf(path, sizeof path, "%s/rw/c/%s/work", place, id);
		r = kernel_fsconfig(fs, "workdir", path);
	}
	/* A writable layer that ends with the VM is never synced for its own sake. */
	if (r >= 0 && !rootfs->scratch_kept)
		r = kernel_fsconfig(fs, "volatile", NULL);
	if (r >= 0)
		mount = r = kernel_fsmount(fs, 0);
	if (r >= 0)
		r = attach_at(place, "root", mount);
	if (r < 0 && fs >= 0)
		kernel_fs_message(fs, said, sizeof said);
	return r < 0 ? error_set(err, r, "mount the overlay: %s", *said ? said : sys_text(r)) : 0;
}

int rootfs_make(const message_rootfs *rootfs, const char *id, const char *place, struct error *err)
{
	char lower[4096] = "", path[PATH_SIZE];
	int r = make_folder(place);

	if (r < 0)
		return error_set(err, r, "make %s: %s", place, sys_text(r));
	r = mount_layers(rootfs, place, lower, sizeof lower, err);
	if (r == 0)
		r = mount_writable(rootfs, id, place, err);
	if (r == 0)
		r = mount_overlay(rootfs, id, place, lower, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof path, "%s/root", place);
	r = (int)SYS(open, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r < 0 ? error_set(err, r, "open the root: %s", sys_text(r)) : r;
}

int rootfs_enter(int root, const message_container *container, struct error *err)
{
	static const struct {
		const char *name;
		uint64_t value;
	} propagations[] = {
		{ "", KERNEL_PRIVATE },
		{ "private", KERNEL_PRIVATE },
		{ "rprivate", KERNEL_PRIVATE },
		{ "shared", KERNEL_SHARED },
		{ "rshared", KERNEL_SHARED },
		{ "slave", KERNEL_SLAVE },
		{ "rslave", KERNEL_SLAVE },
		{ "unbindable", KERNEL_UNBINDABLE },
		{ "runbindable", KERNEL_UNBINDABLE },
	};
	struct kernel_mount_change change = { 0 };
	int r = kernel_pivot_root(root);

	if (r < 0)
		return error_set(err, r, "change the root: %s", sys_text(r));
	for (size_t i = 0; i < sizeof propagations / sizeof *propagations; i++)
		if (strcmp(propagations[i].name, container->rootfs_propagation) == 0)
			change.propagation = propagations[i].value;
	if (change.propagation != KERNEL_PRIVATE) { /* which is what it is */
		r = kernel_change_mount(root, &change);
		if (r < 0)
			return error_set(err, r, "rootfs propagation %s: %s",
					 container->rootfs_propagation, sys_text(r));
	}
	if (!container->rootfs->readonly)
		return 0;
	change = (struct kernel_mount_change){ .set = KERNEL_MOUNT_RDONLY };
	r = kernel_change_mount(root, &change);
	return r < 0 ? error_set(err, r, "make the root read-only: %s", sys_text(r)) : 0;
}

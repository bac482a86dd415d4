/*
 * A folder's file system is mounted where it belongs. Of a share that is one file only the file is
 * wanted: its file system is mounted in a folder of the agent's own, the file is cloned from there,
 * and the file system is detached again; the clone keeps it.
 */
#include "agent/shares.h"

#include "agent/kernel.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int mount_tag(const char *tag, const char *destination, struct error *err)
{
	own_fd fs = kernel_fsopen("virtiofs");
	char said[160] = "";
	int r = fs < 0 ? fs : kernel_fsconfig(fs, "source", tag);

	if (r >= 0)
		r = kernel_fsmount(fs, KERNEL_MOUNT_NODEV);
	if (r < 0 && fs >= 0)
		kernel_fs_message(fs, said, sizeof said);
	return r < 0 ? error_set(err, r, "mount the share %s on %s: %s", tag, destination,
				 *said ? said : sys_text(r))
		     : r;
}

static int clone_file(int share, const char *tag, const char *name)
{
	char folder[80], file[PATH_MAX];
	own_fd target = -1;
	int r, clone;

	(void)snprintf(folder, sizeof folder, "/%.64s", tag);
	(void)snprintf(file, sizeof file, "%s/%s", folder, name);
	r = (int)SYS(mkdir, folder, 0700);
	if (r < 0 && r != -EEXIST)
		return r;
	target = (int)SYS(open, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = target < 0 ? target : kernel_attach(share, target);
	if (r < 0)
		return r;
	clone = kernel_open_tree(AT_FDCWD, file, false);
	r = (int)SYS(umount2, folder, MNT_DETACH);
	if (r < 0 && clone >= 0) {
		(void)close(clone);
		return r;
	}
	return clone;
}

int shares_mount(const message_mount *mount, enum paths_kind *kind, struct error *err)
{
	const char *slash = strchr(mount->source, '/');
	char tag[64];
	own_fd share = -1;
	int r;

	(void)snprintf(tag, sizeof tag, "%.*s",
		       slash ? (int)(slash - mount->source) : (int)sizeof tag, mount->source);
	share = mount_tag(tag, mount->destination, err);
	if (share < 0 || !slash)
		return share < 0 ? share : take_fd(&share);
	*kind = PATHS_FILE;
	r = clone_file(share, tag, slash + 1);
	return r < 0 ? error_set(err, r, "mount the shared file %s on %s: %s", slash + 1,
				 mount->destination, sys_text(r))
		     : r;
}

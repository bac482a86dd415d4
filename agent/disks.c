#include "agent/disks.h"

#include "agent/kernel.h"
#include "base/own.h"
#include "base/sys.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define EXT4_RESIZE _IOW('f', 16, uint64_t) /* EXT4_IOC_RESIZE_FS: to this many blocks */

enum { NAME_SIZE = DISKS_NAME_SIZE, SECTOR = 512, READAHEAD_SECTORS = 128 };

struct disk {
	char node[NAME_SIZE]; /* a block device in the agent's own root */
	uint64_t sectors;
	struct disks_found found;
};

/* A one-line file of sysfs. */
static int read_attribute(int block, const char *disk, const char *name, char *text, size_t size)
{
	char path[NAME_SIZE * 2 + 8];
	own_fd fd = -1;
	long got;

	(void)snprintf(path, sizeof path, "%s/%s", disk, name);
	fd = (int)SYS(openat, block, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	got = SYS(read, fd, text, size - 1);
	if (got < 0)
		return (int)got;
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

/* Makes the device's node where mounting can find it. Without devtmpfs: nobody else needs it. */
static int make_node(int block, const char *name, struct disk *out)
{
	struct disks_found *found = &out->found;
	char text[NAME_SIZE];
	int r = read_attribute(block, name, "dev", text, sizeof text);

	if (r < 0)
		return r;
	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own two numbers */
	if (sscanf(text, "%u:%u", &found->major, &found->minor) != 2)
		return -EINVAL;
	(void)snprintf(found->name, sizeof found->name, "%.*s", NAME_SIZE - 1, name);
	(void)snprintf(out->node, sizeof out->node, "/disk.%u.%u", found->major, found->minor);
	r = (int)SYS(mknod, out->node, S_IFBLK | 0600, makedev(found->major, found->minor));
	if (r < 0 && r != -EEXIST)
		return r;
	r = read_attribute(block, name, "size", text, sizeof text);
	out->sectors = r < 0 ? 0 : strtoull(text, NULL, 10);
	return r;
}

static int find_disk(const char *serial, struct disk *out)
{
	own_fd sysfs = kernel_mount_detached("sysfs", KERNEL_MOUNT_RDONLY);
	int block = sysfs < 0 ? sysfs : (int)SYS(openat, sysfs, "block", O_RDONLY | O_CLOEXEC);
	struct dirent *entry;
	int r = -ENODEV;
	DIR *dir;

	if (block < 0)
		return block;
	dir = fdopendir(block);
	if (!dir) {
		(void)close(block);
		return -ENOMEM;
	}
	while (r == -ENODEV && (entry = readdir(dir))) {
		char text[NAME_SIZE];

		if (strncmp(entry->d_name, "vd", 2) != 0 || strlen(entry->d_name) >= NAME_SIZE)
			continue;
		if (read_attribute(block, entry->d_name, "serial", text, sizeof text) == 0 &&
		    strcmp(text, serial) == 0)
			r = make_node(block, entry->d_name, out);
	}
	(void)closedir(dir);
	return r;
}

int disks_find(const char *serial, struct disks_found *out)
{
	struct disk disk;
	int r = find_disk(serial, &disk);

	if (r == 0)
		*out = disk.found;
	return r;
}

bool disks_is_used(const struct disks_found *disk)
{
	char node[NAME_SIZE];
	own_fd fd = -1;

	(void)snprintf(node, sizeof node, "/disk.%u.%u", disk->major, disk->minor);
	fd = (int)SYS(open, node, O_RDONLY | O_EXCL | O_CLOEXEC);
	(void)SYS(unlink, node);
	return fd == -EBUSY;
}

static int mount_disk(const char *type, const struct disk *disk, const char *const *options,
		      const char *serial, struct error *err)
{
	own_fd fs = kernel_fsopen(type);
	char said[160] = "";
	int r = fs < 0 ? fs : kernel_fsconfig(fs, "source", disk->node);

	for (; r >= 0 && *options; options++)
		r = kernel_fsconfig(fs, *options, NULL);
	if (r >= 0)
		r = kernel_fsmount(fs, 0);
	if (r < 0 && fs >= 0)
		kernel_fs_message(fs, said, sizeof said);
	return r < 0 ? error_set(err, r, "mount disk %s (%s): %s", serial, type,
				 *said ? said : sys_text(r))
		     : r;
}

/* How far the kernel reads beyond what is asked for. A page of a library that is read and not used
 * costs a page of the host's memory and its fault; the host has the file in its cache, so reading
 * again is cheap. */
static int limit_readahead(const struct disk *disk)
{
	own_fd device = (int)SYS(open, disk->node, O_RDONLY | O_CLOEXEC);

	return device < 0 ? device : (int)SYS(ioctl, device, BLKRASET, READAHEAD_SECTORS);
}

int disks_mount_layer(const char *serial, struct error *err)
{
	static const char *const options[] = { "ro", NULL };
	struct disk disk;
	int r = find_disk(serial, &disk);

	if (r < 0)
		return error_set(err, r, "find the layer disk %s: %s", serial, sys_text(r));
	r = limit_readahead(&disk);
	if (r < 0)
		return error_set(err, r, "set up the layer disk %s: %s", serial, sys_text(r));
	return mount_disk("erofs", &disk, options, serial, err);
}

/* The template is small; the disk has the size that the user asked for. */
static int grow(int mount, const struct disk *disk)
{
	own_fd root = (int)SYS(openat, mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs stat;
	uint64_t blocks;
	int r = root < 0 ? root : (int)SYS(fstatfs, root, &stat);

	if (r < 0)
		return r;
	blocks = disk->sectors * SECTOR / (uint64_t)stat.f_bsize;
	/* f_blocks leaves out the file system's own tables: an eighth is more than they take */
	if ((uint64_t)stat.f_blocks + (uint64_t)stat.f_blocks / 8 >= blocks)
		return 0;
	return sys_ioctl(root, EXT4_RESIZE, &blocks);
}

int disks_mount_scratch(const char *serial, bool kept, struct error *err)
{
	/* Freed blocks go back to the host. Tables are zero in the host's sparse file already. */
	static const char *const thrown_away[] = { "noinit_itable", "discard", "nobarrier", NULL };
	static const char *const careful[] = { "noinit_itable", "discard", NULL };
	struct disk disk;
	own_fd mount = -1;
	int r = find_disk(serial, &disk);

	if (r < 0)
		return error_set(err, r, "find the scratch disk %s: %s", serial, sys_text(r));
	mount = mount_disk("ext4", &disk, kept ? careful : thrown_away, serial, err);
	if (mount < 0)
		return mount;
	r = grow(mount, &disk);
	if (r < 0)
		return error_set(err, r, "grow the scratch disk %s: %s", serial, sys_text(r));
	return take_fd(&mount);
}

#include "runtime/disk_file.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { SECTOR = 512, BLOCK = 4096 };

static int check_kind(const char *path, mode_t mode, bool *is_device, struct error *err)
{
	if (S_ISDIR(mode))
		return error_set(err, -EISDIR, "%.150s is a folder, not a disk", path);
	if (!S_ISREG(mode) && !S_ISBLK(mode))
		return error_set(err, -EINVAL, "%.150s is neither a file nor a block device", path);
	*is_device = S_ISBLK(mode);
	return 0;
}

static int find_bytes(int fd, bool is_device, uint64_t *bytes)
{
	struct stat st;
	int r;

	if (is_device)
		return sys_ioctl(fd, BLKGETSIZE64, bytes);
	r = (int)SYS(fstat, fd, &st);
	*bytes = r < 0 ? 0 : (uint64_t)st.st_size;
	return r;
}

/* -EBUSY of a device: it is mounted, or otherwise somebody's alone. */
static int lock(int fd, const char *path, bool read_only, struct error *err)
{
	int r = (int)SYS(flock, fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB);

	if (r == -EWOULDBLOCK)
		return error_set(err, -EBUSY, "%.150s is in use, as a disk or by another program",
				 path);
	return r < 0 ? error_set(err, r, "lock %.150s: %s", path, sys_text(r)) : 0;
}

static int check_size(const struct disk_file *file, const char *path, struct error *err)
{
	unsigned whole = file->is_direct && !file->is_device ? BLOCK : SECTOR;

	if (file->bytes == 0)
		return error_set(err, -EINVAL, "%.150s is empty", path);
	if (file->bytes % whole)
		return error_set(err, -EINVAL, "%.150s has %llu bytes, no multiple of %u", path,
				 (unsigned long long)file->bytes, whole);
	return 0;
}

int disk_file_open(const char *path, struct disk_file *file, struct error *err)
{
	struct disk_file found = *file;
	own_fd fd = -1;
	struct stat st;
	int flags = O_NOCTTY | O_NONBLOCK | O_CLOEXEC | (found.read_only ? O_RDONLY : O_RDWR);
	int r = (int)SYS(stat, path, &st);

	if (r < 0)
		return error_set(err, r, "%.150s: %s", path, sys_text(r));
	r = check_kind(path, st.st_mode, &found.is_device, err);
	if (r < 0)
		return r;
	flags |= found.is_direct ? O_DIRECT : 0;
	flags |= found.is_device ? O_EXCL : 0;
	fd = (int)SYS(open, path, flags);
	if (fd == -EBUSY)
		return error_set(err, fd, "%.150s is in use: it is mounted, or another's alone",
				 path);
	if (fd == -EINVAL && found.is_direct)
		return error_set(err, fd, "%.150s: its file system does not have O_DIRECT", path);
	if (fd < 0)
		return error_set(err, fd, "open %.150s: %s", path, sys_text(fd));
	/* O_NONBLOCK was for the opening alone: reads are to wait for the disk */
	r = (int)SYS(fcntl, fd, F_SETFL, found.is_direct ? O_DIRECT : 0);
	if (r == 0)
		r = (int)SYS(fstat, fd, &st); /* of what was opened, if its name has moved */
	if (r < 0)
		return error_set(err, r, "%.150s: %s", path, sys_text(r));
	r = check_kind(path, st.st_mode, &found.is_device, err);
	if (r == 0)
		r = lock(fd, path, found.read_only, err);
	if (r < 0)
		return r;
	r = find_bytes(fd, found.is_device, &found.bytes);
	if (r < 0)
		return error_set(err, r, "the size of %.150s: %s", path, sys_text(r));
	r = check_size(&found, path, err);
	if (r < 0)
		return r;
	found.fd = take_fd(&fd);
	*file = found;
	return 0;
}

void disk_file_close(struct disk_file *file)
{
	if (file->fd >= 0)
		(void)SYS(flock, file->fd, LOCK_UN);
	close_fd(&file->fd);
}

int disk_file_grow(const struct disk_file *file, uint64_t bytes, struct error *err)
{
	unsigned whole = file->is_direct ? BLOCK : SECTOR;
	uint64_t now = 0;
	int r = find_bytes(file->fd, file->is_device, &now);

	if (r < 0)
		return error_set(err, r, "the disk's file: %s", sys_text(r));
	if (file->is_device)
		return error_set(err, -EINVAL,
				 "it is a block device: resize that one, then do this without a "
				 "size");
	if (file->read_only)
		return error_set(err, -EROFS, "it is read-only");
	if (bytes % whole)
		return error_set(err, -EINVAL, "%llu bytes are no multiple of %u",
				 (unsigned long long)bytes, whole);
	if (bytes < now)
		return error_set(err, -EINVAL, "it has %llu bytes, and disks only grow",
				 (unsigned long long)now);
	r = (int)SYS(ftruncate, file->fd, (off_t)bytes);
	return r < 0 ? error_set(err, r, "grow the disk's file: %s", sys_text(r)) : 0;
}

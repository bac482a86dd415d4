/*
 * Names and attributes, and for how long the guest may believe them. With FS_CACHE_AUTO a file's
 * name is asked for at each use, so that a change on the host is seen by the next look. The
 * attributes that come with a name are for who asked by name, and those that are asked for alone
 * are true once: reading from an open file asks each time.
 *
 * What came with a listing, and folders, would cost a request for each entry of each listing and
 * two for each folder of each path. Both are kept for a sixteenth of the time since the last
 * change, 100 ms at the most: what was changed just now is what may change again. What comes with a
 * name, and a folder, is kept for a tick of the guest's clock or two, because one call looks at it
 * several times.
 */
#include "devices/fs/fs_private.h"

#include <sys/inotify.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>

enum { AGE_SHARE = 16, SECOND = 1000000000 };
static const uint64_t LONGEST_AUTO_NS = 100000000;
static const uint64_t ROUNDED_NS = 8000000; /* two ticks of 250 Hz: the guest rounds up */
static const uint64_t LEAST_NS = 1;
static const uint64_t ALWAYS_NS = UINT64_C(86400) * SECOND;

uint64_t fs_inode(struct fs *fs, const struct statx *status)
{
	uint64_t device = makedev(status->stx_dev_major, status->stx_dev_minor);
	unsigned i = 0;

	if (device == fs->root_device || (fs->is_file && status->stx_ino == 1))
		return status->stx_ino;
	/* another file system mounted below: its numbers shall not be taken for the root's */
	while (i < fs->device_count && fs->devices[i] != device)
		i++;
	if (i == fs->device_count && i < FS_MAX_DEVICES)
		fs->devices[fs->device_count++] = device;
	return status->stx_ino ^ (uint64_t)(i + 1) << 48;
}

static uint32_t guest_id(const struct fs *fs, uint32_t host, uint32_t own)
{
	if (!fs->config.squash)
		return host;
	return host == own ? 0 : 65534; /* nobody */
}

void fs_fill_attr(struct fs *fs, const struct statx *status, struct fuse_attr *out)
{
	*out = (struct fuse_attr){
		.ino = fs_inode(fs, status),
		.size = status->stx_size,
		.blocks = status->stx_blocks,
		.atime = (uint64_t)status->stx_atime.tv_sec,
		.mtime = (uint64_t)status->stx_mtime.tv_sec,
		.ctime = (uint64_t)status->stx_ctime.tv_sec,
		.atimensec = status->stx_atime.tv_nsec,
		.mtimensec = status->stx_mtime.tv_nsec,
		.ctimensec = status->stx_ctime.tv_nsec,
		.mode = status->stx_mode,
		.nlink = status->stx_nlink,
		.uid = guest_id(fs, status->stx_uid, fs->uid),
		.gid = guest_id(fs, status->stx_gid, fs->gid),
		.rdev = status->stx_rdev_minor & 0xff,
		.blksize = status->stx_blksize,
	};
	out->rdev |= status->stx_rdev_major << 8 | (status->stx_rdev_minor & ~0xffU) << 12;
}

static uint64_t in_ns(const struct statx_timestamp *time)
{
	return time->tv_sec < 0 ? 0 : (uint64_t)time->tv_sec * SECOND + time->tv_nsec;
}

static uint64_t auto_ns(const struct statx *status)
{
	uint64_t changed = in_ns(&status->stx_ctime), modified = in_ns(&status->stx_mtime), now;
	struct timespec time;

	if (SYS(clock_gettime, CLOCK_REALTIME, &time) < 0)
		return 0;
	now = (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
	if (modified > changed)
		changed = modified;
	if (now <= changed)
		return 0;
	now = (now - changed) / AGE_SHARE;
	if (now > LONGEST_AUTO_NS)
		now = LONGEST_AUTO_NS;
	return now < ROUNDED_NS ? 0 : now - ROUNDED_NS;
}

/* What an answer is to: each is believed for its own time. */
enum asked { ASKED_ATTR, ASKED_NAME, ASKED_LISTING };

static uint64_t attr_ns(const struct fs *fs, const struct statx *status, enum asked asked)
{
	bool is_folder = S_ISDIR(status->stx_mode);
	uint64_t ns = 0;

	if (fs->config.cache == FS_CACHE_ALWAYS)
		return ALWAYS_NS;
	if (fs->config.cache == FS_CACHE_NEVER)
		return 0;
	if (is_folder || asked == ASKED_LISTING)
		ns = auto_ns(status);
	return ns < LEAST_NS && (is_folder || asked == ASKED_NAME) ? LEAST_NS : ns;
}

static uint64_t name_ns(const struct fs *fs, const struct statx *status, enum asked asked)
{
	if (fs->config.cache == FS_CACHE_AUTO && !S_ISDIR(status->stx_mode) && asked == ASKED_NAME)
		return 0;
	return attr_ns(fs, status, asked);
}

void fs_fill_entry(struct fs *fs, const struct fs_node *node, const struct statx *status,
		   bool listed, struct fuse_entry_out *out)
{
	enum asked asked = listed ? ASKED_LISTING : ASKED_NAME;
	uint64_t entry = name_ns(fs, status, asked), attr = attr_ns(fs, status, asked);

	*out = (struct fuse_entry_out){
		.nodeid = node->id,
		.entry_valid = entry / SECOND,
		.entry_valid_nsec = (uint32_t)(entry % SECOND),
		.attr_valid = attr / SECOND,
		.attr_valid_nsec = (uint32_t)(attr % SECOND),
	};
	fs_fill_attr(fs, status, &out->attr);
}

static int answer_attr(struct fs *fs, const struct statx *status)
{
	struct fuse_attr_out *out = FS_ANSWER(fs, struct fuse_attr_out);
	uint64_t ns = attr_ns(fs, status, ASKED_ATTR);

	*out = (struct fuse_attr_out){ .attr_valid = ns / SECOND,
				       .attr_valid_nsec = (uint32_t)(ns % SECOND) };
	fs_fill_attr(fs, status, &out->attr);
	return sizeof *out;
}

int fs_op_getattr(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct statx status;
	int r = fs_node_stat(fs, node, &status);

	(void)call;
	return r < 0 ? r : answer_attr(fs, &status);
}

/* struct fuse_statx_in and _out, protocol 7.39, which older headers do not have. */
struct statx_in {
	uint32_t flags, reserved;
	uint64_t handle;
	uint32_t sx_flags, sx_mask;
};
struct statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec, flags;
	uint64_t spare[2];
	struct statx status; /* the protocol's has the kernel's layout, 256 bytes */
};
_Static_assert(sizeof(struct statx_out) == 288, "as in the protocol");

int fs_op_statx(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct statx_out *out = FS_ANSWER(fs, struct statx_out);
	struct statx status;
	int r = fs_node_stat(fs, node, &status);
	uint64_t ns;

	(void)call;
	if (r < 0)
		return r;
	ns = attr_ns(fs, &status, ASKED_ATTR);
	*out = (struct statx_out){ .attr_valid = ns / SECOND,
				   .attr_valid_nsec = (uint32_t)(ns % SECOND),
				   .status = status };
	out->status.stx_ino = fs_inode(fs, &status);
	out->status.stx_uid = guest_id(fs, status.stx_uid, fs->uid);
	out->status.stx_gid = guest_id(fs, status.stx_gid, fs->gid);
	out->status.stx_attributes = out->status.stx_attributes_mask = 0;
	return sizeof *out;
}

/* ---- setattr ---- */

static int set_mode(struct fs *fs, const struct fs_node *node, uint32_t mode, int fd)
{
	char number[12];
	int r;

	if (node->type == S_IFLNK)
		return -EOPNOTSUPP;
	fs_number(fd, number);
	fs_allow_setgid(mode & S_ISGID);
	r = (int)SYS(fchmodat, fs->config.self_fd, number, mode & 07777, 0);
	fs_allow_setgid(false);
	return r;
}

static int set_owner(const struct fs *fs, const struct fuse_setattr_in *in, int fd)
{
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	int r = 0;

	if (in->valid & FATTR_UID)
		r = fs_host_uid(fs, in->uid, &uid);
	if (r == 0 && (in->valid & FATTR_GID))
		r = fs_host_gid(fs, in->gid, &gid);
	if (r < 0 || (fs->config.squash && (uid == (uid_t)-1 || uid == fs->uid) &&
		      (gid == (gid_t)-1 || gid == fs->gid)))
		return r;
	return (int)SYS(fchownat, fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

static int set_size(struct fs *fs, struct fs_node *node, const struct fuse_setattr_in *in)
{
	const struct fs_handle *handle =
	    in->valid & FATTR_FH ? fs_handle_find(fs, in->fh, node) : NULL;
	own_fd fd = -EBADF;
	struct statx status;

	if (in->size > INT64_MAX)
		return -EINVAL;
	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (handle)
		return (int)SYS_RETRY(ftruncate, handle->fd, (off_t)in->size);
	fd = fs_node_open(fs, node, O_WRONLY, &status);
	if (fd < 0)
		return fd == -EAGAIN ? FS_LATER : fd;
	return (int)SYS_RETRY(ftruncate, fd, (off_t)in->size);
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now, uint64_t seconds,
			       uint32_t ns)
{
	if (valid & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (!(valid & set))
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	return (struct timespec){ .tv_sec = (time_t)seconds, .tv_nsec = ns };
}

static int set_times(struct fs *fs, const struct fs_node *node, const struct fuse_setattr_in *in,
		     int fd, const struct fs_place *place)
{
	struct timespec times[2] = {
		time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};
	char number[12];

	if (in->atimensec >= SECOND || in->mtimensec >= SECOND)
		return -EINVAL;
	if (node->type == S_IFLNK &&
	    place->name) /* what is behind the descriptor's name would be followed */
		return (int)SYS(utimensat, place->dir, place->name, times, AT_SYMLINK_NOFOLLOW);
	fs_number(fd, number);
	return (int)SYS(utimensat, fs->config.self_fd, number, times, 0);
}

/* Everything but the size, on a descriptor of exactly this inode. */
static int set_rest(struct fs *fs, struct fs_node *node, const struct fuse_setattr_in *in)
{
	struct fs_place place = { 0 };
	own_fd opened = -EBADF;
	struct statx status;
	int fd, r = 0;

	if (fs->is_file && node == fs->root)
		return -EPERM;
	if (!node->handles) {
		opened = fs_node_open(fs, node, O_PATH, &status);
		if (opened < 0)
			return opened;
	}
	if (node->type == S_IFLNK)
		r = fs_node_place(fs, node, &place);
	fd = node->handles ? node->handles->fd : opened;
	if (r == 0 && (in->valid & (FATTR_UID | FATTR_GID)))
		r = set_owner(fs, in, fd);
	if (r == 0 && (in->valid & FATTR_MODE))
		r = set_mode(fs, node, in->mode, fd);
	if (r == 0 && (in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
		r = set_times(fs, node, in, fd, &place);
	return r;
}

int fs_op_setattr(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const uint32_t rest = FATTR_UID | FATTR_GID | FATTR_MODE | FATTR_ATIME | FATTR_MTIME |
			      FATTR_ATIME_NOW | FATTR_MTIME_NOW;
	struct fuse_setattr_in in = *FS_BODY(call, struct fuse_setattr_in);
	struct statx status = { 0 };
	int r = 0;

	fs_own_node(fs, node, IN_ATTRIB | IN_MODIFY | IN_CLOSE_WRITE);
	if (in.valid & FATTR_SIZE)
		r = set_size(fs, node, &in);
	if (r == 0 && (in.valid & rest))
		r = set_rest(fs, node, &in);
	if (r == 0)
		r = fs_node_stat(fs, node, &status);
	return r != 0 ? r : answer_attr(fs, &status);
}

int fs_op_statfs(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fuse_statfs_out *out = FS_ANSWER(fs, struct fuse_statfs_out);
	struct statvfs status;
	int r = (int)SYS_RETRY(fstatvfs, fs->config.root_fd, &status);

	(void)call;
	(void)node;
	if (r < 0)
		return r;
	*out = (struct fuse_statfs_out){ .st = { .blocks = status.f_blocks,
						 .bfree = status.f_bfree,
						 .bavail = status.f_bavail,
						 .files = status.f_files,
						 .ffree = status.f_ffree,
						 .bsize = (uint32_t)status.f_bsize,
						 .namelen = (uint32_t)status.f_namemax,
						 .frsize = (uint32_t)status.f_frsize } };
	return sizeof *out;
}

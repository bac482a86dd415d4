/*
 * Locks, which processes of the host and other sandboxes see. A POSIX lock belongs to a process of
 * the guest and a file; here each such pair has an open file description of its own, whose locks
 * (F_OFD_SETLK) are one owner's. flock(2) belongs to the open file, which is the handle's.
 */
#include "devices/fs/fs_private.h"

#include <sys/file.h>

enum { MAX_OWNERS = 1024 };

void fs_locks_drop(struct fs_node *node, const struct fs_handle *handle, const uint64_t *owner)
{
	for (struct fs_lock **at = &node->locks; *at;) {
		struct fs_lock *lock = *at;

		if ((handle && lock->handle != handle) || (owner && lock->owner != *owner)) {
			at = &lock->next;
			continue;
		}
		*at = lock->next;
		(void)close(lock->fd);
		free(lock);
	}
}

/* For locks of both kinds, whatever the handle is for: the same owner may come with another. The
 * guest's kernel asks for none that its process may not have. What cannot be opened so serves for
 * what the handle is for: another user's file, a program that runs, one that is only added to. */
static int open_again(struct fs *fs, const struct fs_handle *handle)
{
	int flags = (int)SYS(fcntl, handle->fd, F_GETFL), fd = -EROFS;
	char number[12];

	if (flags < 0)
		return flags;
	fs_number(handle->fd, number);
	if (!fs->config.read_only) /* not waiting for who has a lease of it */
		fd = sys_open(fs->config.self_fd, number, O_RDWR | O_NONBLOCK, 0);
	if (fd < 0)
		fd = sys_open(fs->config.self_fd, number, (flags & O_ACCMODE) | O_NONBLOCK, 0);
	return fd;
}

static int owner_fd(struct fs *fs, struct fs_handle *handle, uint64_t owner)
{
	unsigned count = 0;
	struct fs_lock *lock;
	int fd;

	for (lock = handle->node->locks; lock; lock = lock->next, count++)
		if (lock->owner == owner)
			return lock->fd;
	if (count == MAX_OWNERS)
		return -ENOLCK;
	fd = open_again(fs, handle);
	if (fd < 0)
		return fd;
	lock = calloc(1, sizeof *lock);
	if (!lock) {
		(void)close(fd);
		return -ENOMEM;
	}
	*lock = (struct fs_lock){
		.next = handle->node->locks, .owner = owner, .handle = handle, .fd = fd
	};
	handle->node->locks = lock;
	return fd;
}

static int to_flock(const struct fuse_file_lock *in, struct flock *out)
{
	if (in->start > INT64_MAX || in->end < in->start ||
	    (in->type != F_RDLCK && in->type != F_WRLCK && in->type != F_UNLCK))
		return -EINVAL;
	*out = (struct flock){ .l_type = (short)in->type,
			       .l_whence = SEEK_SET,
			       .l_start = (off_t)in->start };
	if (in->end < INT64_MAX) /* else to the end of the file, however far that will be */
		out->l_len = (off_t)(in->end - in->start + 1);
	return 0;
}

int fs_op_getlk(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fuse_lk_in in = *FS_BODY(call, struct fuse_lk_in);
	struct fuse_lk_out *out = FS_ANSWER(fs, struct fuse_lk_out);
	struct fs_handle *handle = fs_handle_find(fs, in.fh, node);
	struct flock lock;
	int fd, r = to_flock(&in.lk, &lock);

	if (!handle || node->type != S_IFREG)
		return -EBADF;
	if (r < 0)
		return r;
	fd = owner_fd(fs, handle, in.owner);
	r = fd < 0 ? fd : (int)SYS(fcntl, fd, F_OFD_GETLK, &lock);
	if (r < 0)
		return r;
	*out = (struct fuse_lk_out){ .lk = { .type = (uint32_t)lock.l_type,
					     .start = (uint64_t)lock.l_start,
					     .end = INT64_MAX } };
	if (lock.l_len > 0)
		out->lk.end = (uint64_t)(lock.l_start + lock.l_len - 1);
	return sizeof *out;
}

static int try_flock(struct fs_handle *handle, uint32_t type)
{
	int operation = type == F_UNLCK ? LOCK_UN : type == F_WRLCK ? LOCK_EX : LOCK_SH;

	return (int)SYS(flock, handle->fd, operation | LOCK_NB);
}

static int try_lock(struct fs *fs, struct fs_handle *handle, const struct fuse_lk_in *in)
{
	struct flock lock;
	int fd, r;

	if (in->lk_flags & FUSE_LK_FLOCK)
		return try_flock(handle, in->lk.type);
	r = to_flock(&in->lk, &lock);
	if (r < 0)
		return r;
	fd = owner_fd(fs, handle, in->owner);
	r = fd < 0 ? fd : (int)SYS(fcntl, fd, F_OFD_SETLK, &lock);
	return r == -EACCES ? -EAGAIN : r;
}

/* ---- waiting ---- */

static struct fuse_lk_in wanted(const struct fs_call *call)
{
	return (struct fuse_lk_in){ .owner = call->arguments[0],
				    .lk = { .start = call->arguments[1],
					    .end = call->arguments[2],
					    .type = (uint32_t)call->arguments[3] },
				    .lk_flags = (uint32_t)call->arguments[4] };
}

static int lock_again(struct fs_call *call)
{
	struct fuse_lk_in in = wanted(call);

	return call->handle->released ? -EINTR : try_lock(call->fs, call->handle, &in);
}

static int lock(struct fs *fs, struct fs_call *call, struct fs_node *node, bool waits)
{
	const struct fuse_lk_in in = *FS_BODY(call, struct fuse_lk_in);
	struct fs_handle *handle = fs_handle_find(fs, in.fh, node);
	int r;

	if (!handle || node->type != S_IFREG)
		return -EBADF;
	r = try_lock(fs, handle, &in);
	if (in.lk.type == F_UNLCK && r == 0)
		fs_wait_retry(fs);
	if (r != -EAGAIN || !waits)
		return r;
	call->handle = handle;
	call->arguments[0] = in.owner;
	call->arguments[1] = in.lk.start;
	call->arguments[2] = in.lk.end;
	call->arguments[3] = in.lk.type;
	call->arguments[4] = in.lk_flags;
	r = fs_wait(call, lock_again);
	return r == -EAGAIN ? -ENOLCK : r;
}

int fs_op_setlk(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return lock(fs, call, node, false);
}

int fs_op_setlkw(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return lock(fs, call, node, true);
}

/*
 * Open files and their bytes. Data goes straight between the file and guest memory. What the host
 * has in its page cache is read at once; what a disk has to be asked for is read by the ring, and
 * so is a large write, so that neither holds up other requests.
 */
#include "base/container_of.h"
#include "devices/fs/fs_private.h"

#include <sys/inotify.h>
#include <sys/uio.h>

enum { WRITE_AT_ONCE = 64 * 1024 };

int fs_op_open(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	uint32_t wanted = FS_BODY(call, struct fuse_open_in)->flags;
	struct fuse_open_out *out = FS_ANSWER(fs, struct fuse_open_out);
	int flags = (int)(wanted & (O_ACCMODE | O_APPEND | O_TRUNC)), r;
	struct fs_handle *handle;
	struct statx status;
	own_fd fd = -EBADF;

	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -EACCES;
	if (fs->config.read_only && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	if (flags & O_TRUNC)
		fs_own_node(fs, node, IN_MODIFY | IN_ATTRIB);
	fd = fs_node_open(fs, node, flags, &status);
	if (fd == -EAGAIN && !(wanted & O_NONBLOCK))
		return FS_LATER;
	if (fd < 0)
		return fd;
	r = fs_handle_new(fs, node, fd, &handle);
	if (r < 0)
		return r;
	(void)take_fd(&fd);
	*out = (struct fuse_open_out){ .fh = handle->id };
	if (fs->config.cache == FS_CACHE_NEVER)
		out->open_flags = FOPEN_DIRECT_IO;
	else /* with FS_CACHE_AUTO the guest drops its pages when size or time differ */
		out->open_flags = FOPEN_KEEP_CACHE;
	if ((flags & O_ACCMODE) == O_RDONLY)
		out->open_flags |= FOPEN_NOFLUSH; /* its locks go with fs_op_release */
	return sizeof *out;
}

int fs_op_release(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fs_handle *handle =
	    fs_handle_find(fs, FS_BODY(call, struct fuse_release_in)->fh, node);

	if (!handle)
		return -EBADF;
	fs_handle_release(fs, handle);
	fs_wait_retry(fs);
	return 0;
}

int fs_op_flush(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fuse_flush_in *in = FS_BODY(call, struct fuse_flush_in);

	if (!fs_handle_find(fs, in->fh, node))
		return -EBADF;
	if (node->locks) {
		fs_own_node(fs, node, IN_CLOSE_WRITE); /* a lock has a descriptor of its own */
		fs_locks_drop(node, NULL, &in->lock_owner);
		fs_wait_retry(fs);
	}
	return 0;
}

static struct fs_handle *file_of(struct fs *fs, uint64_t id, const struct fs_node *node)
{
	struct fs_handle *handle = fs_handle_find(fs, id, node);

	return handle && node->type == S_IFREG ? handle : NULL;
}

/* No access waits for a disk. Such a file system may not know RWF_NOWAIT (tmpfs before Linux 6.6),
 * and the ring would hand each access to a thread. */
static bool is_in_memory(const struct fs *fs, const struct fs_handle *handle)
{
	return fs->is_in_memory && handle->node->key.device == fs->root_device;
}

/* ---- read ---- */

enum { LEFT, OFFSET }; /* a read's arguments: bytes that are still wanted, from where */

/* Less was read than wanted: the end of the file? */
static bool is_end(const struct fs_handle *handle, uint64_t position)
{
	struct stat status;

	return SYS(fstat, handle->fd, &status) == 0 && position >= (uint64_t)status.st_size;
}

/* True: nothing more is to come. */
static bool take_read(struct fs_call *call, const struct fs_handle *handle, size_t size)
{
	call->chain.write_position += size;
	call->arguments[LEFT] -= size;
	call->arguments[OFFSET] += size;
	return call->arguments[LEFT] == 0 || is_end(handle, call->arguments[OFFSET]);
}

static size_t bytes_read(const struct fs_call *call)
{
	return call->chain.write_position - sizeof(struct fuse_out_header);
}

static unsigned find_room(struct fs_call *call)
{
	size_t covered;

	return chain_peek_writable(&call->chain, call->arguments[LEFT], call->segments,
				   CHAIN_MAX_SEGMENTS, &covered);
}

static void was_read(struct io_op *op, int result);

static void read_by_ring(struct fs_call *call)
{
	unsigned count = find_room(call);

	io_readv_at(call->fs->config.io, &call->op, call->handle->fd, call->segments, count,
		    call->arguments[OFFSET], was_read);
}

/* The guest takes less than it wanted for the end of the file, and zeroes for what follows. Where
 * that is not the end the host could not read on, and says why when it is asked for the rest. */
static void was_read(struct io_op *op, int result)
{
	struct fs_call *call = container_of(op, struct fs_call, op);

	if (result > 0 && !take_read(call, call->handle, (size_t)result)) {
		read_by_ring(call);
		return;
	}
	fs_finish(call, result < 0 ? result : (int)bytes_read(call));
}

/* Answers by itself what is there at once: as fs_finish does, for a request never counted. */
static int answer_read(struct fs_call *call)
{
	size_t size = bytes_read(call);
	struct fuse_out_header out = { .len = (uint32_t)(sizeof out + size),
				       .unique = call->in.unique };

	call->chain.write_position = 0;
	(void)chain_put(&call->chain, &out);
	call->chain.write_position += size;
	call->to_guest = size;
	return FS_ANSWERED;
}

int fs_op_read(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fuse_read_in in = *FS_BODY(call, struct fuse_read_in);
	struct fs_handle *handle = file_of(fs, in.fh, node);
	long n;

	if (!handle)
		return -EBADF;
	if (in.offset > INT64_MAX)
		return -EINVAL;
	if (chain_writable(&call->chain) < sizeof(struct fuse_out_header) + in.size)
		return -EINVAL;
	call->chain.write_position = sizeof(struct fuse_out_header);
	call->arguments[LEFT] = in.size;
	call->arguments[OFFSET] = in.offset;
	n = SYS_RETRY(preadv2, handle->fd, call->segments, (int)find_room(call), (off_t)in.offset,
		      is_in_memory(fs, handle) ? 0 : RWF_NOWAIT);
	if (n >= 0 && take_read(call, handle, (size_t)n))
		return answer_read(call);
	if (n < 0 && n != -EAGAIN && n != -EOPNOTSUPP)
		return (int)n;
	call->handle = handle;
	fs_handle_hold(handle);
	read_by_ring(call);
	return FS_PENDING;
}

/* ---- write ---- */

static int written(struct fs_call *call, long n)
{
	struct fuse_write_out *out = FS_ANSWER(call->fs, struct fuse_write_out);

	if (n < 0)
		return (int)n;
	call->from_guest = (uint64_t)n;
	*out = (struct fuse_write_out){ .size = (uint32_t)n };
	return sizeof *out;
}

static void was_written(struct io_op *op, int result)
{
	struct fs_call *call = container_of(op, struct fs_call, op);

	fs_finish(call, written(call, result));
}

enum { SEGMENTS, POSITION, HOW }; /* arguments of a write that is to be on the disk */

static int write_work(struct fs_call *call)
{
	return (int)SYS_RETRY(pwritev2, call->handle->fd, call->segments,
			      (int)call->arguments[SEGMENTS], (off_t)call->arguments[POSITION],
			      (int)call->arguments[HOW]);
}

/* What of open(2)'s O_SYNC and O_DSYNC is to be done here: what the guest has in its cache it syncs
 * by itself, and with FS_CACHE_NEVER it leaves that to us. */
static int sync_flags(const struct fs *fs, uint32_t flags)
{
	if (fs->config.cache != FS_CACHE_NEVER || !(flags & O_DSYNC))
		return 0;
	return (flags & O_SYNC) == O_SYNC ? RWF_SYNC : RWF_DSYNC;
}

int fs_op_write(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fuse_write_in in = *FS_BODY(call, struct fuse_write_in);
	struct fs_handle *handle = file_of(fs, in.fh, node);
	size_t covered;
	unsigned count;

	if (!handle)
		return -EBADF;
	if (in.offset > INT64_MAX || in.size > call->body_size - sizeof in)
		return -EINVAL;
	count = chain_peek_readable(&call->chain, in.size, call->segments, CHAIN_MAX_SEGMENTS,
				    &covered);
	if (covered != in.size)
		return -EINVAL;
	fs_own_begin(fs, call, node, IN_MODIFY | IN_ATTRIB); /* ATTRIB: of set-user bits */
	call->arguments[SEGMENTS] = count;
	call->arguments[POSITION] = in.offset;
	call->arguments[HOW] = (uint64_t)sync_flags(fs, in.flags);
	if (call->arguments[HOW] != 0) {
		call->handle = handle;
		return fs_offload(call, write_work);
	}
	if (in.size <= WRITE_AT_ONCE || is_in_memory(fs, handle))
		return written(call, SYS_RETRY(pwritev, handle->fd, call->segments, (int)count,
					       (off_t)in.offset));
	call->handle = handle;
	fs_handle_hold(handle);
	io_writev_at(fs->config.io, &call->op, handle->fd, call->segments, count, in.offset,
		     was_written);
	return FS_PENDING;
}

/* ---- on the helper thread ---- */

static int sync_work(struct fs_call *call)
{
	int fd = call->handle->fd;

	return (int)(call->arguments[0] & FUSE_FSYNC_FDATASYNC ? SYS_RETRY(fdatasync, fd)
							       : SYS_RETRY(fsync, fd));
}

static int sync_handle(struct fs *fs, struct fs_call *call, const struct fs_node *node)
{
	const struct fuse_fsync_in *in = FS_BODY(call, struct fuse_fsync_in);

	call->handle = fs_handle_find(fs, in->fh, node);
	call->arguments[0] = in->fsync_flags;
	return call->handle ? fs_offload(call, sync_work) : -EBADF;
}

int fs_op_fsync(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return sync_handle(fs, call, node);
}

int fs_op_fsyncdir(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return sync_handle(fs, call, node);
}

static int syncfs_work(struct fs_call *call)
{
	return (int)SYS_RETRY(syncfs, (int)call->arguments[0]);
}

/* syncfs(2) wants more than a descriptor that only names; any open file does. */
int fs_op_syncfs(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	(void)node;
	call->arguments[0] = (uint64_t)fs->sync_fd;
	return fs->sync_fd < 0 ? 0 : fs_offload(call, syncfs_work);
}

static int fallocate_work(struct fs_call *call)
{
	return (int)SYS_RETRY(fallocate, call->handle->fd, (int)call->arguments[0],
			      (off_t)call->arguments[1], (off_t)call->arguments[2]);
}

int fs_op_fallocate(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fuse_fallocate_in *in = FS_BODY(call, struct fuse_fallocate_in);

	call->handle = file_of(fs, in->fh, node);
	call->arguments[0] = in->mode;
	call->arguments[1] = in->offset;
	call->arguments[2] = in->length;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EINVAL;
	fs_own_begin(fs, call, node, IN_MODIFY | IN_ATTRIB);
	return call->handle ? fs_offload(call, fallocate_work) : -EBADF;
}

static int copy_work(struct fs_call *call)
{
	off_t from = (off_t)call->arguments[1], to = (off_t)call->arguments[3];

	return (int)SYS_RETRY(copy_file_range, (int)call->arguments[0], &from,
			      (int)call->arguments[2], &to, call->arguments[4], 0);
}

int fs_op_copy_file_range(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fuse_copy_file_range_in *in = FS_BODY(call, struct fuse_copy_file_range_in);
	const struct fs_node *target = fs_node_find(fs, in->nodeid_out);
	const struct fs_handle *from = file_of(fs, in->fh_in, node);
	struct fs_handle *to = target ? file_of(fs, in->fh_out, target) : NULL;
	int fd;

	if (!from || !to)
		return -EBADF;
	if (in->flags != 0 || in->off_in > INT64_MAX || in->off_out > INT64_MAX)
		return -EINVAL;
	/* the guest may release one of two meanwhile: the first is kept by a descriptor of its own
	 */
	fd = (int)SYS(fcntl, from->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	call->handle = to;
	call->owned_fd = fd;
	call->arguments[0] = (uint64_t)fd;
	call->arguments[1] = in->off_in;
	call->arguments[2] = (uint64_t)to->fd;
	call->arguments[3] = in->off_out;
	call->arguments[4] = in->len < INT32_MAX ? in->len : 1 << 30;
	fs_own_begin(fs, call, target, IN_MODIFY | IN_ATTRIB);
	return fs_offload(call, copy_work);
}

int fs_op_lseek(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fuse_lseek_in *in = FS_BODY(call, struct fuse_lseek_in);
	struct fuse_lseek_out *out = FS_ANSWER(fs, struct fuse_lseek_out);
	const struct fs_handle *handle = file_of(fs, in->fh, node);
	long at;

	if (!handle)
		return -EBADF;
	if (in->offset > INT64_MAX || (in->whence != SEEK_DATA && in->whence != SEEK_HOLE))
		return -EINVAL;
	at = SYS(lseek, handle->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return (int)at;
	*out = (struct fuse_lseek_out){ .offset = (uint64_t)at };
	return sizeof *out;
}

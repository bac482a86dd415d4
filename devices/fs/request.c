/* A request is copied once, but for the data of a write, and judged in the copy. */
#include "base/check.h"
#include "base/container_of.h"
#include "devices/fs/events.h"
#include "devices/fs/fs_private.h"

struct row {
	fs_operation *run;
	uint32_t least; /* bytes of the body's fixed part */
	uint8_t flags;
};

enum {
	WRITES = 1,   /* refused on a share that is read-only */
	DATA = 2,     /* the body goes on with data, which is not copied */
	ANY_NODE = 4, /* the node id means nothing */
	SILENT = 8,   /* has no answer, whatever comes of it */
};

static const struct row rows[] = {
	[FUSE_LOOKUP] = { fs_op_lookup, 0, 0 },
	[FUSE_FORGET] = { fs_op_forget, sizeof(struct fuse_forget_in), SILENT },
	[FUSE_GETATTR] = { fs_op_getattr, sizeof(struct fuse_getattr_in), 0 },
	[FUSE_SETATTR] = { fs_op_setattr, sizeof(struct fuse_setattr_in), WRITES },
	[FUSE_READLINK] = { fs_op_readlink, 0, 0 },
	[FUSE_SYMLINK] = { fs_op_symlink, 0, WRITES },
	[FUSE_MKNOD] = { fs_op_mknod, sizeof(struct fuse_mknod_in), WRITES },
	[FUSE_MKDIR] = { fs_op_mkdir, sizeof(struct fuse_mkdir_in), WRITES },
	[FUSE_UNLINK] = { fs_op_unlink, 0, WRITES },
	[FUSE_RMDIR] = { fs_op_rmdir, 0, WRITES },
	[FUSE_RENAME] = { fs_op_rename, sizeof(struct fuse_rename_in), WRITES },
	[FUSE_LINK] = { fs_op_link, sizeof(struct fuse_link_in), WRITES },
	[FUSE_OPEN] = { fs_op_open, sizeof(struct fuse_open_in), 0 },
	[FUSE_READ] = { fs_op_read, sizeof(struct fuse_read_in), 0 },
	[FUSE_WRITE] = { fs_op_write, sizeof(struct fuse_write_in), WRITES | DATA },
	[FUSE_STATFS] = { fs_op_statfs, 0, ANY_NODE },
	[FUSE_RELEASE] = { fs_op_release, sizeof(struct fuse_release_in), 0 },
	[FUSE_FSYNC] = { fs_op_fsync, sizeof(struct fuse_fsync_in), 0 },
	[FUSE_SETXATTR] = { fs_op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, WRITES },
	[FUSE_GETXATTR] = { fs_op_getxattr, sizeof(struct fuse_getxattr_in), 0 },
	[FUSE_LISTXATTR] = { fs_op_listxattr, sizeof(struct fuse_getxattr_in), 0 },
	[FUSE_REMOVEXATTR] = { fs_op_removexattr, 0, WRITES },
	[FUSE_FLUSH] = { fs_op_flush, sizeof(struct fuse_flush_in), 0 },
	[FUSE_INIT] = { fs_op_init, 16, ANY_NODE },
	[FUSE_OPENDIR] = { fs_op_opendir, sizeof(struct fuse_open_in), 0 },
	[FUSE_READDIR] = { fs_op_readdir, sizeof(struct fuse_read_in), 0 },
	[FUSE_RELEASEDIR] = { fs_op_releasedir, sizeof(struct fuse_release_in), 0 },
	[FUSE_FSYNCDIR] = { fs_op_fsyncdir, sizeof(struct fuse_fsync_in), 0 },
	[FUSE_GETLK] = { fs_op_getlk, sizeof(struct fuse_lk_in), 0 },
	[FUSE_SETLK] = { fs_op_setlk, sizeof(struct fuse_lk_in), 0 },
	[FUSE_SETLKW] = { fs_op_setlkw, sizeof(struct fuse_lk_in), 0 },
	[FUSE_CREATE] = { fs_op_create, sizeof(struct fuse_create_in), WRITES },
	[FUSE_INTERRUPT] = { fs_op_interrupt, sizeof(struct fuse_interrupt_in), ANY_NODE | SILENT },
	[FUSE_DESTROY] = { fs_op_destroy, 0, ANY_NODE },
	[FUSE_IOCTL] = { fs_op_ioctl, 0, ANY_NODE },
	[FUSE_BATCH_FORGET] = { fs_op_batch_forget, sizeof(struct fuse_batch_forget_in),
				ANY_NODE | SILENT },
	[FUSE_FALLOCATE] = { fs_op_fallocate, sizeof(struct fuse_fallocate_in), WRITES },
	[FUSE_READDIRPLUS] = { fs_op_readdirplus, sizeof(struct fuse_read_in), 0 },
	[FUSE_RENAME2] = { fs_op_rename2, sizeof(struct fuse_rename2_in), WRITES },
	[FUSE_LSEEK] = { fs_op_lseek, sizeof(struct fuse_lseek_in), 0 },
	[FUSE_COPY_FILE_RANGE] = { fs_op_copy_file_range, sizeof(struct fuse_copy_file_range_in),
				   WRITES },
	[FUSE_SYNCFS] = { fs_op_syncfs, sizeof(struct fuse_syncfs_in), ANY_NODE },
	[52] = { fs_op_statx, 24, 0 }, /* FUSE_STATX, protocol 7.39 */
};

static const struct row watch_row = { fs_op_watch, 0, 0 };
static const struct row events_row = { fs_op_events, sizeof(struct fs_events_in), ANY_NODE };

static const struct row *row_of(uint32_t opcode)
{
	if (opcode == FS_WATCH)
		return &watch_row;
	if (opcode == FS_EVENTS)
		return &events_row;
	return opcode < sizeof rows / sizeof rows[0] && rows[opcode].run ? &rows[opcode] : NULL;
}

/* result: the answer's size in fs->answer, or -errno. */
static void answer(struct fs *fs, struct fs_call *call, int result)
{
	struct fuse_out_header out = { .len = sizeof out, .unique = call->in.unique };

	if (result < 0)
		out.error = result;
	else
		out.len += (uint32_t)result;
	call->chain.write_position = 0;
	if (chain_writable(&call->chain) < out.len) { /* no room for what it asked for */
		out.len = sizeof out;
		out.error = -ERANGE;
	}
	(void)chain_put(&call->chain, &out);
	if (out.len > sizeof out)
		(void)chain_write(&call->chain, fs->answer, (size_t)result);
}

static int read_body(struct fs *fs, struct fs_call *call, const struct row *row)
{
	size_t wanted = row->flags & DATA ? row->least : call->body_size;

	if (call->body_size < row->least || wanted > sizeof fs->body ||
	    chain_readable(&call->chain) < call->body_size)
		return -EINVAL;
	return chain_read(&call->chain, fs->body, wanted) == wanted ? 0 : -EINVAL;
}

static int run(struct fs *fs, struct fs_call *call, const struct row *row)
{
	struct fs_node *node;
	int r = read_body(fs, call, row);

	if (r < 0)
		return r;
	if (!fs->ready && row->run != fs_op_init && !(row->flags & SILENT))
		return -EIO;
	if ((row->flags & WRITES) && fs->config.read_only)
		return -EROFS;
	node = fs_node_find(fs, call->in.nodeid);
	if (!node && !(row->flags & ANY_NODE))
		return -ESTALE;
	return row->run(fs, call, node);
}

/* What the guest has changed in it meanwhile is judged anew. */
static int run_again(struct fs_call *call)
{
	const struct row *row = row_of(call->in.opcode);
	int r;

	call->chain.read_position = sizeof call->in;
	r = row ? run(call->fs, call, row) : -ENOSYS;
	return r == FS_LATER ? -EAGAIN : r;
}

bool fs_serve(struct fs *fs, struct fs_call *call)
{
	const struct row *row;
	int r = -ENOSYS;

	call->fs = fs;
	call->handle = NULL;
	call->owned_fd = -EBADF;
	call->own[0] = call->own[1] = 0;
	call->to_guest = call->from_guest = 0;
	call->op = (struct io_op){ 0 };
	if (!chain_get(&call->chain, &call->in) || call->in.len < sizeof call->in) {
		call->chain.write_position = 0;
		return true; /* not a request: it has no number to answer to */
	}
	call->body_size = call->in.len - sizeof call->in;
	row = row_of(call->in.opcode);
	if (row)
		r = run(fs, call, row);
	if (r == FS_LATER)
		r = fs_wait(call, run_again);
	if (r == FS_PENDING) {
		fs->pending++;
		return false;
	}
	close_fd(&call->owned_fd); /* what could not be begun */
	fs_own_end(fs, call);
	if (row && (row->flags & SILENT))
		call->chain.write_position = 0;
	else if (r != FS_ANSWERED)
		answer(fs, call, r);
	return true;
}

void fs_finish(struct fs_call *call, int result)
{
	struct fs *fs = call->fs;

	if (call->handle)
		fs_handle_drop(fs, call->handle);
	call->handle = NULL;
	fs_own_end(fs, call);
	close_fd(&call->owned_fd);
	fs->pending--;
	if (call->in.opcode == FUSE_READ && result >= 0) { /* the data is where it belongs */
		struct fuse_out_header out = { .len = (uint32_t)sizeof out + (uint32_t)result,
					       .unique = call->in.unique };

		call->chain.write_position = 0;
		(void)chain_put(&call->chain, &out);
		call->chain.write_position += (size_t)result;
		call->to_guest = (uint64_t)result;
	} else {
		answer(fs, call, result);
	}
	call->done(call);
}

const char *fs_word(const struct fs_call *call, size_t *at)
{
	const char *word = (const char *)call->fs->body + *at;
	const char *end = *at < call->body_size ? memchr(word, 0, call->body_size - *at) : NULL;

	if (!end)
		return NULL;
	*at += (size_t)(end - word) + 1;
	return word;
}

const char *fs_name(const struct fs_call *call, size_t *at, int *error)
{
	const char *name = fs_word(call, at);

	*error = -EINVAL;
	if (!name || !*name || strchr(name, '/') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return NULL;
	if (strlen(name) > FS_NAME_MAX) {
		*error = -ENAMETOOLONG;
		return NULL;
	}
	*error = 0;
	return name;
}

/* ---- the helper thread ---- */

static void worked(struct io_message *message)
{
	struct fs_call *call = container_of(message, struct fs_call, message);
	bool writes = call->in.opcode == FUSE_WRITE;
	bool counts = writes || call->in.opcode == FUSE_COPY_FILE_RANGE;
	int result = call->result;

	if (counts && result >= 0) { /* 0 is a count, too: the source has ended */
		struct fuse_write_out *out = FS_ANSWER(call->fs, struct fuse_write_out);

		*out = (struct fuse_write_out){ .size = (uint32_t)result };
		call->from_guest = writes ? (uint64_t)result : 0;
		result = sizeof *out;
	}
	fs_finish(call, result);
}

static void *work(void *argument)
{
	struct fs *fs = argument;
	struct fs_worker *worker = &fs->worker;

	(void)pthread_mutex_lock(&worker->lock);
	while (!worker->stop) {
		struct fs_call *call = worker->first;

		if (!call) {
			(void)pthread_cond_wait(&worker->wake, &worker->lock);
			continue;
		}
		worker->first = call->next;
		if (!worker->first)
			worker->last = &worker->first;
		(void)pthread_mutex_unlock(&worker->lock);
		call->result = call->work(call);
		call->message = (struct io_message){ .run = worked };
		(void)io_post(fs->config.io, &call->message);
		(void)pthread_mutex_lock(&worker->lock);
	}
	(void)pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int fs_offload(struct fs_call *call, int (*function)(struct fs_call *call))
{
	struct fs_worker *worker = &call->fs->worker;

	if (!worker->started) {
		int r;

		worker->last = &worker->first;
		r = -pthread_create(&worker->thread, NULL, work, call->fs);
		if (r < 0)
			return r;
		worker->started = true;
	}
	if (call->handle)
		fs_handle_hold(call->handle);
	call->work = function;
	call->next = NULL;
	(void)pthread_mutex_lock(&worker->lock);
	*worker->last = call;
	worker->last = &call->next;
	(void)pthread_cond_signal(&worker->wake);
	(void)pthread_mutex_unlock(&worker->lock);
	return FS_PENDING;
}

void fs_worker_stop(struct fs *fs)
{
	struct fs_worker *worker = &fs->worker;

	if (!worker->started)
		return;
	(void)pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	(void)pthread_cond_signal(&worker->wake);
	(void)pthread_mutex_unlock(&worker->lock);
	(void)pthread_join(worker->thread, NULL);
	worker->started = worker->stop = false;
}

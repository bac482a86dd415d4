/* A share's life, and what guest and server agree on at its start. */
#include "devices/fs/fs.h"
#include "base/check.h"
#include "devices/fs/events.h"
#include "devices/fs/fs_private.h"

#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

enum {
	DEFAULT_NODES = 65536,
	MAX_HANDLES = 1 << 16,
	KERNEL_MINOR = 38,
	OLDEST_MINOR = 31,
	/* a chain of CHAIN_MAX_SEGMENTS less headers: 2 to read, 2 to write */
	MAX_PAGES = CHAIN_MAX_SEGMENTS - 8,
	PAGE = 4096,
};

#define DIRECT_IO_ALLOW_MMAP (UINT64_C(1) << 36) /* protocol 7.39 */

static int init(const struct fs_config *config, struct fs *fs)
{
	int r;

	fs->config = *config;
	fs->sync_fd = -EBADF;
	fs->uid = geteuid();
	fs->gid = getegid();
	fs->nodes.most = config->max_nodes ? config->max_nodes : DEFAULT_NODES;
	fs->handles.most = MAX_HANDLES;
	(void)snprintf(fs->file_name, sizeof fs->file_name, "%s",
		       config->file_name ? config->file_name : "");
	(void)pthread_mutex_init(&fs->worker.lock, NULL);
	(void)pthread_cond_init(&fs->worker.wake, NULL);
	r = config->notify ? fs_own_create(fs) : 0;
	if (r == 0 && config->notify)
		r = fs_events_create(fs);
	return r < 0 ? r : fs_nodes_init(fs);
}

/* O_PATH descriptors name only; without this one the guest's sync does nothing. */
static void open_for_sync(struct fs *fs)
{
	char number[12];

	fs_number(fs->config.root_fd, number);
	fs->sync_fd = sys_open(fs->config.self_fd, number, O_RDONLY | O_NONBLOCK, 0);
}

static void finish(struct fs *fs)
{
	fs_worker_stop(fs);
	fs_nodes_finish(fs);
	fs_events_destroy(fs);
	fs_own_destroy(fs);
	fs_table_finish(&fs->handles);
	(void)pthread_mutex_destroy(&fs->worker.lock);
	(void)pthread_cond_destroy(&fs->worker.wake);
	free(fs);
}

int fs_create(const struct fs_config *config, struct fs **out)
{
	struct fs *fs = calloc(1, sizeof *fs);
	struct statfs status;
	int r;

	if (!fs)
		return -ENOMEM;
	r = init(config, fs);
	if (r < 0) {
		finish(fs);
		return r;
	}
	open_for_sync(fs);
	fs->is_in_memory =
	    SYS_RETRY(fstatfs, fs->config.root_fd, &status) == 0 && status.f_type == TMPFS_MAGIC;
	fs_look_for_attributes(fs);
	*out = fs;
	return 0;
}

unsigned fs_pending(const struct fs *fs)
{
	return fs->pending;
}

static void close_handles(struct fs *fs)
{
	for (uint32_t i = 0; i < fs->handles.size; i++) {
		struct fs_handle *handle = fs->handles.slots[i].object;

		if (handle)
			fs_handle_release(fs, handle);
	}
}

void fs_reset(struct fs *fs)
{
	CHECK(fs->pending == 0);
	close_handles(fs);
	fs_nodes_finish(fs);
	fs_events_reset(fs);
	fs->ready = false;
	/* the root itself is still there: it was, and its descriptor is */
	CHECK(fs_nodes_init(fs) == 0);
}

void fs_destroy(struct fs *fs)
{
	if (!fs)
		return;
	CHECK(fs->pending == 0);
	(void)io_cancel_wait(&fs->wait_timer);
	close_handles(fs);
	close_fd(&fs->config.root_fd);
	close_fd(&fs->sync_fd);
	finish(fs);
}

void fs_interrupt_all(struct fs *fs)
{
	fs_wait_interrupt_all(fs);
	fs_events_interrupt(fs);
}

void fs_allow_nodes(struct fs *fs, uint32_t count)
{
	if (count > fs->nodes.most)
		fs->nodes.most = count;
}

uint32_t fs_node_count(const struct fs *fs)
{
	return fs->nodes.used;
}

uint32_t fs_handle_count(const struct fs *fs)
{
	return fs->handles.used;
}

static uint64_t wanted_features(const struct fs *fs)
{
	uint64_t features = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS |
			    FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
			    FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
			    FUSE_HANDLE_KILLPRIV_V2 | FUSE_MAX_PAGES | FUSE_INIT_EXT;

	if (fs->config.cache == FS_CACHE_AUTO)
		features |= FUSE_AUTO_INVAL_DATA;
	if (fs->config.cache == FS_CACHE_ALWAYS)
		features |= FUSE_CACHE_SYMLINKS;
	if (fs->config.cache == FS_CACHE_NEVER)
		features |= DIRECT_IO_ALLOW_MMAP;
	if (fs->config.notify)
		features |= FS_TELLS;
	return features;
}

int fs_op_init(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fuse_init_in in = { 0 };
	struct fuse_init_out *out = FS_ANSWER(fs, struct fuse_init_out);
	uint64_t offered, features;

	(void)node;
	memcpy(&in, fs->body, call->body_size < sizeof in ? call->body_size : sizeof in);
	if (in.major != FUSE_KERNEL_VERSION || in.minor < OLDEST_MINOR)
		return -EPROTO;
	offered = in.flags;
	if (in.flags & FUSE_INIT_EXT)
		offered |= (uint64_t)in.flags2 << 32;
	features = wanted_features(fs) & offered;
	fs->ready = true;
	fs_wait_forget_interrupts(fs); /* requests are counted anew */
	*out = (struct fuse_init_out){
		.major = FUSE_KERNEL_VERSION,
		.minor = KERNEL_MINOR,
		.max_readahead = in.max_readahead,
		.flags = (uint32_t)features,
		.flags2 = (uint32_t)(features >> 32),
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = MAX_PAGES * PAGE,
		.time_gran = 1,
		.max_pages = MAX_PAGES,
	};
	return sizeof *out;
}

/* The guest has unmounted. Descriptors go at once; what is on its way keeps its own. */
int fs_op_destroy(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	(void)call;
	(void)node;
	close_handles(fs);
	fs_watch_end_all(fs);
	return 0;
}

int fs_op_ioctl(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	(void)fs;
	(void)call;
	(void)node;
	return -ENOTTY;
}

int fs_op_forget(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	fs_node_forget(fs, node, FS_BODY(call, struct fuse_forget_in)->nlookup);
	return 0;
}

int fs_op_batch_forget(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fuse_batch_forget_in *in = FS_BODY(call, struct fuse_batch_forget_in);
	const struct fuse_forget_one *one = (const void *)(in + 1);
	size_t there = (call->body_size - sizeof *in) / sizeof *one;

	for (size_t i = 0; i < in->count && i < there; i++) {
		node = fs_node_find(fs, one[i].nodeid);
		if (node)
			fs_node_forget(fs, node, one[i].nlookup);
	}
	return 0;
}

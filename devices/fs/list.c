/*
 * Listings. The host's entries are read by the batch and handed out as the guest's buffer takes
 * them; a listing that goes on from elsewhere starts a new batch there. So a batch may go at any
 * time, and a share has only a few, which belong to whoever listed last: any process of the guest
 * may have thousands of folders open.
 */
#include "devices/fs/fs_private.h"

#include <dirent.h>
#include <sys/syscall.h>

enum { BATCH = 32 * 1024 };

struct fs_listing {
	struct fs_handle *handle; /* which points here */
	uint64_t used;            /* when, of fs->tick */
	uint64_t next;            /* the position behind what was handed out */
	size_t at, size;
	_Alignas(8) uint8_t batch[BATCH];
};

struct entry { /* as getdents64(2) writes them */
	uint64_t inode, next;
	uint16_t size;
	uint8_t type;
	char name[];
};

static long getdents(int fd, void *to, size_t size)
{
	return syscall(SYS_getdents64, fd, to, size);
}

void fs_listing_end(struct fs *fs, struct fs_handle *handle)
{
	for (unsigned i = 0; handle->listing && i < FS_MAX_LISTINGS; i++)
		if (fs->listings[i] == handle->listing)
			fs->listings[i] = NULL;
	free(handle->listing);
	handle->listing = NULL;
}

static int begin(struct fs *fs, struct fs_handle *handle)
{
	struct fs_listing **place = fs->listings, *listing;

	for (unsigned i = 0; *place && i < FS_MAX_LISTINGS; i++)
		if (!fs->listings[i] || fs->listings[i]->used < (*place)->used)
			place = &fs->listings[i];
	listing = malloc(sizeof *listing);
	if (!listing)
		return -ENOMEM;
	if (*place)
		fs_listing_end(fs, (*place)->handle);
	listing->handle = handle;
	handle->listing = *place = listing;
	return 0;
}

unsigned fs_listing_count(const struct fs *fs)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FS_MAX_LISTINGS; i++)
		count += fs->listings[i] != NULL;
	return count;
}

int fs_op_opendir(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fuse_open_out *out = FS_ANSWER(fs, struct fuse_open_out);
	struct fs_handle *handle;
	struct statx status;
	own_fd fd = -EBADF;
	int r;

	(void)call;
	if (node->type != S_IFDIR)
		return -ENOTDIR;
	if (fs->is_file)
		fd = (int)SYS(fcntl, fs->config.root_fd, F_DUPFD_CLOEXEC, 0);
	else
		fd = fs_node_open(fs, node, O_RDONLY | O_DIRECTORY, &status);
	if (fd < 0)
		return fd;
	r = fs_handle_new(fs, node, fd, &handle);
	if (r < 0)
		return r;
	(void)take_fd(&fd);
	*out = (struct fuse_open_out){ .fh = handle->id };
	if (fs->config.cache == FS_CACHE_ALWAYS)
		out->open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
	return sizeof *out;
}

int fs_op_releasedir(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return fs_op_release(fs, call, node);
}

/* The next entry, not taken yet; NULL: the end, or *error. */
static const struct entry *peek(struct fs_handle *handle, int *error)
{
	struct fs_listing *listing = handle->listing;

	*error = 0;
	if (listing->at == listing->size) {
		long n = SYS(getdents, handle->fd, listing->batch, sizeof listing->batch);

		if (n <= 0) {
			*error = (int)n;
			return NULL;
		}
		listing->at = 0;
		listing->size = (size_t)n;
	}
	return (const void *)(listing->batch + listing->at);
}

static void take(struct fs_handle *handle, const struct entry *entry)
{
	handle->listing->next = entry->next;
	handle->listing->at += entry->size;
}

static int seek(struct fs *fs, struct fs_handle *handle, uint64_t offset)
{
	struct fs_listing *listing = handle->listing;
	long r;

	if (listing && offset != 0 && offset == listing->next) {
		listing->used = ++fs->tick;
		return 0;
	}
	if (offset > INT64_MAX)
		return -EINVAL;
	r = SYS(lseek, handle->fd, (off_t)offset, SEEK_SET);
	if (r >= 0 && !listing)
		r = begin(fs, handle);
	if (r < 0)
		return (int)r;
	listing = handle->listing;
	listing->used = ++fs->tick;
	listing->at = listing->size = 0;
	listing->next = offset;
	return 0;
}

struct out { /* the answer being filled */
	struct fs *fs;
	size_t at, room;
	bool plus;
};

static size_t head_size(const struct out *out)
{
	return out->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
}

/* False: it does not fit any more. attr: of a listing with attributes. */
static bool put(struct out *out, const struct entry *entry, const struct fuse_entry_out *attr)
{
	size_t name = strlen(entry->name), size = FUSE_DIRENT_ALIGN(head_size(out) + name);
	uint8_t *at = out->fs->answer + out->at;
	struct fuse_dirent *dirent;

	if (size > out->room - out->at)
		return false;
	memset(at, 0, size);
	if (out->plus) {
		memcpy(at, attr, sizeof *attr);
		at += FUSE_NAME_OFFSET_DIRENTPLUS - FUSE_NAME_OFFSET;
	}
	dirent = (void *)at;
	dirent->ino = entry->inode;
	dirent->off = entry->next;
	dirent->namelen = (uint32_t)name;
	dirent->type = entry->type;
	memcpy(at + FUSE_NAME_OFFSET, entry->name, name);
	out->at += size;
	return true;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* A name that is gone again, or that may not be looked at, is listed without attributes. */
static bool put_plus(struct out *out, struct fs_node *parent, int dir, const struct entry *entry)
{
	size_t size = FUSE_DIRENT_ALIGN(head_size(out) + strlen(entry->name));
	struct fuse_entry_out attr = { 0 };
	struct fs_node *node = NULL;
	struct statx status;

	if (size > out->room - out->at)
		return false;
	if (!is_dots(entry->name) &&
	    fs_stat_at(dir, entry->name, AT_SYMLINK_NOFOLLOW, &status) == 0 &&
	    fs_node_get(out->fs, parent, entry->name, &status, &node) == 0)
		fs_fill_entry(out->fs, node, &status, true, &attr);
	return put(out, entry, &attr);
}

/* A share that is one file: two entries for the folder, and it. */
static int list_file(struct fs *fs, struct out *out, struct fs_node *node, uint64_t offset)
{
	const char *const names[] = { ".", "..", fs->file_name };

	for (uint64_t i = offset; i < 3; i++) {
		struct {
			struct entry entry;
			char name[FS_NAME_MAX + 1];
		} made = { .entry = { .inode = i < 2 ? 1 : 2,
				      .next = i + 1,
				      .type = i < 2 ? DT_DIR : DT_REG } };
		struct fuse_entry_out attr = { 0 };
		struct statx status;
		struct fs_node *file;

		memcpy(made.name, names[i], strlen(names[i]) + 1);
		if (FUSE_DIRENT_ALIGN(head_size(out) + strlen(names[i])) > out->room - out->at)
			break;
		if (i == 2 && fs_stat_at(fs->config.root_fd, "", AT_EMPTY_PATH, &status) == 0) {
			made.entry.inode = status.stx_ino;
			if (out->plus && fs_node_get(fs, node, names[i], &status, &file) == 0)
				fs_fill_entry(fs, file, &status, true, &attr);
		}
		(void)put(out, &made.entry, &attr);
	}
	return (int)out->at;
}

static int list(struct fs *fs, const struct fs_call *call, struct fs_node *node, bool plus)
{
	const struct fuse_read_in *in = FS_BODY(call, struct fuse_read_in);
	struct fs_handle *handle = fs_handle_find(fs, in->fh, node);
	struct out out = { .fs = fs, .plus = plus, .room = in->size };
	const struct entry *entry;
	int r;

	if (!handle || node->type != S_IFDIR)
		return -EBADF;
	if (out.room > FS_ANSWER_MAX - sizeof(struct fuse_out_header))
		out.room = FS_ANSWER_MAX - sizeof(struct fuse_out_header);
	if (fs->is_file)
		return list_file(fs, &out, node, in->offset);
	r = seek(fs, handle, in->offset);
	if (r < 0)
		return r;
	while ((entry = peek(handle, &r))) {
		if (plus ? !put_plus(&out, node, handle->fd, entry) : !put(&out, entry, NULL))
			break;
		take(handle, entry);
	}
	if (!entry && r == 0 && out.at == 0) /* the guest knows now that this was all */
		fs_listing_end(fs, handle);
	return r < 0 && out.at == 0 ? r : (int)out.at;
}

int fs_op_readdir(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return list(fs, call, node, false);
}

int fs_op_readdirplus(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return list(fs, call, node, true);
}

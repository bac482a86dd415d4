/* Names: finding, making and removing them. Each call acts on one component in one open folder. */
#include "devices/fs/fs_private.h"

#include <linux/fs.h>
#include <linux/limits.h>
#include <sys/inotify.h>

static const uint64_t NEGATIVE_S = 86400;

static int answer_found(struct fs *fs, struct fs_node *parent, const char *name,
			const struct statx *status, struct fs_node **out)
{
	struct fuse_entry_out *entry = FS_ANSWER(fs, struct fuse_entry_out);
	int r = fs_node_get(fs, parent, name, status, out);

	if (r < 0)
		return r;
	fs_fill_entry(fs, *out, status, false, entry);
	return sizeof *entry;
}

/* The answer about what is now at (parent, name): its node and attributes. */
static int answer_entry(struct fs *fs, struct fs_node *parent, int dir, const char *name)
{
	struct statx status;
	struct fs_node *node;
	int r = fs_stat_at(dir, name, AT_SYMLINK_NOFOLLOW, &status);

	return r < 0 ? r : answer_found(fs, parent, name, &status, &node);
}

static int lookup_file(struct fs *fs, const char *name)
{
	struct statx status;
	struct fs_node *node;
	int r;

	if (strcmp(name, fs->file_name) != 0)
		return -ENOENT;
	r = fs_stat_at(fs->config.root_fd, "", AT_EMPTY_PATH, &status);
	return r < 0 ? r : answer_found(fs, fs->root, name, &status, &node);
}

int fs_op_lookup(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	size_t at = 0;
	int error, dir, r;
	const char *name = fs_name(call, &at, &error);

	if (!name)
		return error;
	if (fs->is_file && node == fs->root)
		return lookup_file(fs, name);
	dir = fs_node_dir(fs, node);
	r = dir < 0 ? dir : answer_entry(fs, node, dir, name);
	if (r == -ENOENT && dir >= 0 && fs->config.cache == FS_CACHE_ALWAYS) {
		struct fuse_entry_out *entry = FS_ANSWER(fs, struct fuse_entry_out);

		*entry = (struct fuse_entry_out){ .entry_valid = NEGATIVE_S };
		return sizeof *entry;
	}
	return r;
}

int fs_op_readlink(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fs_place place;
	long n;
	int r;

	(void)call;
	if (node->type != S_IFLNK || node == fs->root)
		return -EINVAL;
	r = fs_node_place(fs, node, &place);
	if (r < 0)
		return r;
	n = SYS(readlinkat, place.dir, place.name, (char *)fs->answer, PATH_MAX);
	return n == -EINVAL || n == -ENOENT ? -ESTALE : (int)n;
}

/* Where a name is made or removed. */
static int folder_and_name(struct fs *fs, const struct fs_call *call, struct fs_node *node,
			   size_t *at, const char **name)
{
	int error;

	*name = fs_name(call, at, &error);
	if (!*name)
		return error;
	if (fs->is_file)
		return -EPERM;
	return fs_node_dir(fs, node);
}

int fs_op_symlink(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fs_identity identity;
	const char *name, *target;
	size_t at = 0;
	int dir = folder_and_name(fs, call, node, &at, &name), r;

	if (dir < 0)
		return dir;
	target = fs_word(call, &at);
	if (!target || !*target)
		return -EINVAL;
	if (strlen(target) >= PATH_MAX)
		return -ENAMETOOLONG;
	r = fs_become(fs, call, &identity);
	fs_own_name(fs, node, name, IN_CREATE);
	if (r == 0)
		r = (int)SYS(symlinkat, target, dir, name);
	fs_unbecome(&identity);
	return r < 0 ? r : answer_entry(fs, node, dir, name);
}

/* Ordinary files, pipes and sockets; the guest has no devices to give. */
int fs_op_mknod(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	uint32_t mode = FS_BODY(call, struct fuse_mknod_in)->mode;
	size_t at = sizeof(struct fuse_mknod_in);
	struct fs_identity identity;
	const char *name;
	int dir = folder_and_name(fs, call, node, &at, &name), r;

	if (dir < 0)
		return dir;
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		return -EPERM;
	r = fs_become(fs, call, &identity);
	fs_own_name(fs, node, name, IN_CREATE);
	if (r == 0)
		r = (int)SYS(mknodat, dir, name, mode, 0);
	fs_unbecome(&identity);
	return r < 0 ? r : answer_entry(fs, node, dir, name);
}

int fs_op_mkdir(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	uint32_t mode = FS_BODY(call, struct fuse_mkdir_in)->mode;
	size_t at = sizeof(struct fuse_mkdir_in);
	struct fs_identity identity;
	const char *name;
	int dir = folder_and_name(fs, call, node, &at, &name), r;

	if (dir < 0)
		return dir;
	r = fs_become(fs, call, &identity);
	fs_own_name(fs, node, name, IN_CREATE);
	if (r == 0)
		r = (int)SYS(mkdirat, dir, name, mode & 07777);
	fs_unbecome(&identity);
	return r < 0 ? r : answer_entry(fs, node, dir, name);
}

static int remove_name(struct fs *fs, struct fs_call *call, struct fs_node *node, int flags)
{
	const char *name;
	size_t at = 0;
	int dir = folder_and_name(fs, call, node, &at, &name);

	if (dir < 0)
		return dir;
	fs_own_name(fs, node, name, IN_DELETE);
	fs_own_child(fs, dir, name, IN_ATTRIB | IN_DELETE_SELF);
	return (int)SYS(unlinkat, dir, name, flags);
}

int fs_op_unlink(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return remove_name(fs, call, node, 0);
}

int fs_op_rmdir(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	return remove_name(fs, call, node, AT_REMOVEDIR);
}

static int rename_to(struct fs *fs, struct fs_call *call, struct fs_node *node, uint64_t new_id,
		     size_t at, uint32_t flags)
{
	struct fs_node *new_parent = fs_node_find(fs, new_id);
	const char *name, *new_name;
	int dir, new_dir, error, r;
	own_fd held = -EBADF;

	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL; /* white-outs are devices */
	dir = folder_and_name(fs, call, node, &at, &name);
	if (dir < 0)
		return dir;
	new_name = fs_name(call, &at, &error);
	if (!new_name)
		return error;
	if (!new_parent)
		return -ESTALE;
	/* opening the second may close the first: it is one of the least used folders */
	held = (int)SYS(fcntl, dir, F_DUPFD_CLOEXEC, 0);
	new_dir = held < 0 ? held : fs_node_dir(fs, new_parent);
	if (new_dir < 0)
		return new_dir;
	fs_own_name(fs, node, name, IN_MOVED_FROM | (flags & RENAME_EXCHANGE ? IN_MOVED_TO : 0));
	fs_own_name(fs, new_parent, new_name,
		    IN_MOVED_TO | (flags & RENAME_EXCHANGE ? IN_MOVED_FROM : 0));
	fs_own_child(fs, held, name, IN_MOVE_SELF);
	fs_own_child(fs, new_dir, new_name, IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF);
	r = (int)SYS(renameat2, held, name, new_dir, new_name, flags);
	if (r < 0)
		return r;
	/* a folder that the guest has forgotten lives by its children, and one has just left */
	node->lookups++;
	fs_node_moved(fs, new_parent, new_name);
	if (flags & RENAME_EXCHANGE)
		fs_node_moved(fs, node, name);
	fs_node_forget(fs, node, 1);
	return 0;
}

int fs_op_rename(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	uint64_t to = FS_BODY(call, struct fuse_rename_in)->newdir;

	return rename_to(fs, call, node, to, sizeof(struct fuse_rename_in), 0);
}

int fs_op_rename2(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fuse_rename2_in *in = FS_BODY(call, struct fuse_rename2_in);

	return rename_to(fs, call, node, in->newdir, sizeof *in, in->flags);
}

/* node is the new folder; what gets one more name is in the body. */
int fs_op_link(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fs_node *old = fs_node_find(fs, FS_BODY(call, struct fuse_link_in)->oldnodeid);
	size_t at = sizeof(struct fuse_link_in);
	own_fd held = -EBADF;
	struct statx status;
	const char *name;
	int dir = folder_and_name(fs, call, node, &at, &name), old_dir, r;

	if (dir < 0)
		return dir;
	if (!old || old == fs->root || !old->parent)
		return -ESTALE;
	if (old->type == S_IFDIR)
		return -EPERM;
	held = (int)SYS(fcntl, dir, F_DUPFD_CLOEXEC, 0);
	old_dir = held < 0 ? held : fs_node_dir(fs, old->parent);
	if (old_dir < 0)
		return old_dir;
	r = fs_stat_at(old_dir, old->name, AT_SYMLINK_NOFOLLOW, &status);
	if (r < 0 || !fs_key_is(&old->key, &status))
		return r == -ENOENT || r == 0 ? -ESTALE : r;
	fs_own_name(fs, node, name, IN_CREATE);
	fs_own_node(fs, old, IN_ATTRIB);
	r = (int)SYS(linkat, old_dir, old->name, held, name, 0);
	return r < 0 ? r : answer_entry(fs, node, held, name);
}

/* ---- making and opening in one ---- */

/* First as if nothing were there, which is what the guest has just seen. */
static int make_file(struct fs *fs, const struct fs_call *call, int dir, const char *name,
		     const struct fuse_create_in *in)
{
	int flags = (int)(in->flags & (O_ACCMODE | O_APPEND));
	struct fs_identity identity;
	int fd = fs_become(fs, call, &identity);

	if (fd == 0)
		fd = fs_open_beneath(dir, name, flags | O_CREAT | O_EXCL, in->mode);
	fs_unbecome(&identity);
	return fd;
}

static int open_made(struct fs *fs, struct fs_node *node, const struct fuse_create_in *in)
{
	struct statx status;
	int flags = (int)(in->flags & (O_ACCMODE | O_APPEND | O_TRUNC));

	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -EACCES;
	if (flags & O_TRUNC)
		fs_own_node(fs, node, IN_MODIFY | IN_ATTRIB);
	return fs_node_open(fs, node, flags, &status);
}

static int answer_created(struct fs *fs, struct fs_node *node, int fd)
{
	struct fuse_open_out *open = (void *)(fs->answer + sizeof(struct fuse_entry_out));
	struct fs_handle *handle;
	int r = fs_handle_new(fs, node, fd, &handle);

	if (r < 0)
		return r;
	*open = (struct fuse_open_out){ .fh = handle->id };
	if (fs->config.cache == FS_CACHE_NEVER)
		open->open_flags = FOPEN_DIRECT_IO;
	else
		open->open_flags = FOPEN_KEEP_CACHE;
	return sizeof(struct fuse_entry_out) + sizeof *open;
}

int fs_op_create(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	struct fuse_create_in in = *FS_BODY(call, struct fuse_create_in);
	size_t at = sizeof in;
	own_fd fd = -EBADF;
	struct fs_node *made;
	struct statx status;
	const char *name;
	int dir = folder_and_name(fs, call, node, &at, &name), r;

	if (dir < 0)
		return dir;
	fs_own_name(fs, node, name, IN_CREATE);
	fd = make_file(fs, call, dir, name, &in);
	if (fd < 0 && (fd != -EEXIST || (in.flags & O_EXCL)))
		return fd;
	r = fd >= 0 ? fs_stat_at(fd, "", AT_EMPTY_PATH, &status)
		    : fs_stat_at(dir, name, AT_SYMLINK_NOFOLLOW, &status);
	if (r >= 0)
		r = answer_found(fs, node, name, &status, &made);
	if (r < 0)
		return r;
	if (fd < 0)
		fd = open_made(fs, made, &in);
	r = fd < 0 ? fd : answer_created(fs, made, fd);
	if (r < 0) {
		fs_node_forget(fs, made, 1);
		return fd == -EAGAIN && !(in.flags & O_NONBLOCK) ? FS_LATER : r;
	}
	(void)take_fd(&fd);
	return r;
}

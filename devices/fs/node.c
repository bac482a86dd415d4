/*
 * What the guest knows of the tree. A node is an inode of the host that the guest has looked up and
 * not forgotten: where it was last seen, and no descriptor. Names are resolved from the root down
 * with openat2(2): beneath it, through no link. A few folders are kept open, the latest used.
 *
 * A recorded place may be old: the host has moved the file. Then the name is gone or is another
 * inode, and the answer is ESTALE, upon which the guest looks its path up again. What is open is
 * reached through the open file instead, wherever it is.
 */
#include "base/check.h"
#include "devices/fs/fs_private.h"

#include <linux/limits.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

enum { FIRST_BUCKETS = 256, MAX_DEPTH_STEPS = 32 };

static long openat2(int dir, const char *path, struct open_how *how)
{
	return syscall(SYS_openat2, dir, path, how, sizeof *how);
}

int fs_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
	int always = O_CLOEXEC | O_NOFOLLOW | (flags & O_PATH ? 0 : O_NOCTTY);
	struct open_how how = {
		.flags = (uint64_t)(uint32_t)(flags | always),
		.mode = flags & O_CREAT ? mode & 07777 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	/* no name is "..", which alone fails when a rename on the host races with it */
	return (int)SYS_RETRY(openat2, dir, path, &how);
}

int fs_stat_at(int dir, const char *name, int flags, struct statx *out)
{
	return (int)SYS(statx, dir, name, flags | AT_NO_AUTOMOUNT, FS_STATX_MASK, out);
}

struct fs_key fs_key_of(const struct statx *status)
{
	struct fs_key key = { .device = makedev(status->stx_dev_major, status->stx_dev_minor),
			      .inode = status->stx_ino };

	if (status->stx_mask & STATX_BTIME)
		key.born_ns =
		    (uint64_t)status->stx_btime.tv_sec * 1000000000U + status->stx_btime.tv_nsec;
	return key;
}

bool fs_key_is(const struct fs_key *key, const struct statx *status)
{
	struct fs_key other = fs_key_of(status);

	return key->inode == other.inode && key->device == other.device &&
	       key->born_ns == other.born_ns;
}

static struct fs_node **bucket(const struct fs *fs, const struct fs_key *key)
{
	uint64_t mixed = (key->inode ^ key->device << 32) * UINT64_C(0x9e3779b97f4a7c15);

	return &fs->buckets[(mixed >> 32) & (fs->bucket_count - 1)];
}

static int rehash(struct fs *fs, uint32_t count)
{
	struct fs_node **buckets = calloc(count, sizeof *buckets), **old = fs->buckets;
	uint32_t old_count = fs->bucket_count;

	if (!buckets)
		return -ENOMEM;
	fs->buckets = buckets;
	fs->bucket_count = count;
	for (uint32_t i = 0; i < old_count; i++)
		for (struct fs_node *node = old[i], *next; node; node = next) {
			struct fs_node **place = bucket(fs, &node->key);

			next = node->next;
			node->next = *place;
			*place = node;
		}
	free(old);
	return 0;
}

static struct fs_node *find_key(const struct fs *fs, const struct statx *status)
{
	struct fs_key key = fs_key_of(status);
	struct fs_node *node = *bucket(fs, &key);

	while (node && !fs_key_is(&node->key, status))
		node = node->next;
	return node;
}

struct fs_node *fs_node_find(const struct fs *fs, uint64_t id)
{
	return fs_table_find(&fs->nodes, id);
}

static int add_node(struct fs *fs, const struct statx *status, struct fs_node **out)
{
	struct fs_node *node = calloc(1, sizeof *node), **place;
	int r;

	if (!node)
		return -ENOMEM;
	if (fs->nodes.used > fs->bucket_count)
		(void)rehash(fs, fs->bucket_count * 2); /* without it lookups are slower only */
	node->key = fs_key_of(status);
	node->type = status->stx_mode & S_IFMT;
	node->dir_slot = -1;
	r = fs_table_add(&fs->nodes, node, &node->id);
	if (r < 0) {
		free(node);
		return r;
	}
	place = bucket(fs, &node->key);
	node->next = *place;
	*place = node;
	*out = node;
	return 0;
}

static void close_dir(struct fs *fs, struct fs_node *node)
{
	struct fs_dir *dir;

	if (node->dir_slot < 0)
		return;
	dir = &fs->dirs[node->dir_slot];
	close_fd(&dir->fd);
	*dir = (struct fs_dir){ .fd = -EBADF };
	node->dir_slot = -1;
}

static void unhash(struct fs *fs, struct fs_node *node)
{
	struct fs_node **at = bucket(fs, &node->key);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
}

void fs_node_release(struct fs *fs, struct fs_node *node)
{
	while (node && node != fs->root && node->lookups == 0 && node->children == 0 &&
	       !node->handles) {
		struct fs_node *parent = node->parent;

		close_dir(fs, node);
		fs_watch_end(fs, node);
		unhash(fs, node);
		fs_table_remove(&fs->nodes, node->id);
		free(node->name);
		free(node);
		if (parent)
			parent->children--;
		node = parent;
	}
}

void fs_node_forget(struct fs *fs, struct fs_node *node, uint64_t count)
{
	node->lookups -= count < node->lookups ? count : node->lookups;
	fs_node_release(fs, node);
}

static bool is_above(const struct fs_node *node, const struct fs_node *below)
{
	for (; below; below = below->parent)
		if (below == node)
			return true;
	return false;
}

/* The host may have turned the tree over meanwhile, or mounted a folder in itself: a cycle is never
 * recorded. */
static int set_place(struct fs *fs, struct fs_node *node, struct fs_node *parent, const char *name)
{
	struct fs_node *before = node->parent;
	char *copy;

	if (node == fs->root)
		return -ESTALE;
	if (before == parent && node->name && strcmp(node->name, name) == 0)
		return 0;
	if (node == parent || (node->children > 0 && is_above(node, parent)))
		return -ESTALE;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(node->name);
	node->name = copy;
	node->parent = parent;
	parent->children++;
	if (before) {
		before->children--;
		fs_node_release(fs, before);
	}
	return 0;
}

int fs_node_get(struct fs *fs, struct fs_node *parent, const char *name, const struct statx *status,
		struct fs_node **out)
{
	struct fs_node *node = find_key(fs, status);
	int r = node ? 0 : add_node(fs, status, &node);

	if (r < 0)
		return r;
	node->lookups++;
	r = set_place(fs, node, parent, name);
	if (r < 0) {
		fs_node_forget(fs, node, 1);
		return r;
	}
	*out = node;
	return 0;
}

struct fs_node *fs_node_at(const struct fs *fs, int dir, const char *name)
{
	struct statx status;

	return fs_stat_at(dir, name, AT_SYMLINK_NOFOLLOW, &status) < 0 ? NULL
								       : find_key(fs, &status);
}

void fs_node_moved(struct fs *fs, struct fs_node *parent, const char *name)
{
	int dir = fs_node_dir(fs, parent);
	struct fs_node *node = dir < 0 ? NULL : fs_node_at(fs, dir, name);

	if (node)
		(void)set_place(fs, node, parent, name);
}

/* ---- from nodes to descriptors ---- */

static struct fs_dir *oldest_dir(struct fs *fs)
{
	struct fs_dir *oldest = &fs->dirs[0];

	for (size_t i = 0; i < FS_DIR_SLOTS && oldest->node; i++)
		if (!fs->dirs[i].node || fs->dirs[i].used < oldest->used)
			oldest = &fs->dirs[i];
	return oldest;
}

static void keep_dir(struct fs *fs, struct fs_node *node, int fd)
{
	struct fs_dir *dir = oldest_dir(fs);

	if (dir->node)
		close_dir(fs, dir->node);
	*dir = (struct fs_dir){ .node = node, .fd = fd, .used = ++fs->tick };
	node->dir_slot = (int16_t)(dir - fs->dirs);
}

/* Puts a name in front of *at, which ends path[]; false: there is no room for it. */
static bool put_above(const char *path, char **at, const char *name)
{
	size_t size = strlen(name), slash = **at != '\0';

	if ((size_t)(*at - path) < size + slash)
		return false;
	if (slash)
		*--*at = '/';
	*at -= size;
	memcpy(*at, name, size);
	return true;
}

/* The names from an open folder above (returned) down to node, written from the end of path[]
 * backwards. Longer than the kernel takes at once: the folder in between is opened first. */
static int path_to(struct fs *fs, struct fs_node *node, unsigned steps, char path[PATH_MAX],
		   char **start);

/* NOLINTBEGIN(misc-no-recursion): at most MAX_DEPTH_STEPS deep */
static int find_dir(struct fs *fs, struct fs_node *node, unsigned steps)
{
	char path[PATH_MAX], *start;
	struct statx status;
	own_fd fd = -EBADF;
	int above, r;

	if (node == fs->root)
		return fs->config.root_fd;
	if (node->dir_slot >= 0) {
		fs->dirs[node->dir_slot].used = ++fs->tick;
		return fs->dirs[node->dir_slot].fd;
	}
	above = path_to(fs, node, steps, path, &start);
	if (above < 0)
		return above;
	fd = fs_open_beneath(above, start, O_PATH | O_DIRECTORY, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
		return -ESTALE;
	r = fd < 0 ? fd : fs_stat_at(fd, "", AT_EMPTY_PATH, &status);
	if (r < 0)
		return r;
	if (!fs_key_is(&node->key, &status))
		return -ESTALE;
	keep_dir(fs, node, fd);
	return take_fd(&fd);
}

static int path_to(struct fs *fs, struct fs_node *node, unsigned steps, char path[PATH_MAX],
		   char **start)
{
	char *at = path + PATH_MAX - 1;

	*at = '\0';
	for (; node != fs->root && node->dir_slot < 0; node = node->parent) {
		if (put_above(path, &at, node->name))
			continue;
		if (steps == 0)
			return -ENAMETOOLONG;
		*start = at;
		return find_dir(fs, node, steps - 1);
	}
	*start = at;
	if (node == fs->root)
		return fs->config.root_fd;
	fs->dirs[node->dir_slot].used = ++fs->tick;
	return fs->dirs[node->dir_slot].fd;
}
/* NOLINTEND(misc-no-recursion) */

/* Not from an open folder on: that one may be elsewhere. */
bool fs_node_is_beneath(const struct fs *fs, const struct fs_node *node)
{
	char path[PATH_MAX], *at = path + sizeof path - 1;
	const struct fs_key *key = &node->key;
	own_fd fd = -EBADF;
	struct statx status;

	*at = '\0';
	for (; node != fs->root; node = node->parent)
		if (!put_above(path, &at, node->name))
			return false;
	if (!*at)
		return true;
	fd = fs_open_beneath(fs->config.root_fd, at, O_PATH, 0);
	return fd >= 0 && fs_stat_at(fd, "", AT_EMPTY_PATH, &status) == 0 &&
	       fs_key_is(key, &status);
}

int fs_node_dir(struct fs *fs, struct fs_node *node)
{
	if (node->type != S_IFDIR || (fs->is_file && node == fs->root))
		return -ENOTDIR;
	return find_dir(fs, node, MAX_DEPTH_STEPS);
}

/* A descriptor of the node that is there already, wherever the host has moved it; or negative. */
static int open_fd(const struct fs *fs, const struct fs_node *node)
{
	if (node->handles)
		return node->handles->fd;
	return node->dir_slot >= 0 ? fs->dirs[node->dir_slot].fd : -EBADF;
}

int fs_node_place(struct fs *fs, struct fs_node *node, struct fs_place *out)
{
	int dir = open_fd(fs, node);

	*out = (struct fs_place){ .flags = AT_SYMLINK_NOFOLLOW };
	if (fs->is_file || dir >= 0) {
		if (fs->is_file && node == fs->root)
			return -EPERM;
		fs_number(fs->is_file ? fs->config.root_fd : dir, out->number);
		out->dir = fs->config.self_fd;
		out->name = out->number;
		out->flags = 0;
		return 0;
	}
	dir = node == fs->root ? fs->config.root_fd : fs_node_dir(fs, node->parent);
	if (dir < 0)
		return dir;
	out->dir = dir;
	out->name = node == fs->root ? "." : node->name;
	return 0;
}

int fs_node_stat(struct fs *fs, struct fs_node *node, struct statx *out)
{
	struct fs_place place;
	int r;

	if (fs->is_file && node == fs->root) { /* a folder that is nowhere */
		r = fs_stat_at(fs->config.root_fd, "", AT_EMPTY_PATH, out);
		out->stx_mode = S_IFDIR | 0755;
		out->stx_ino = 1;
		out->stx_nlink = 2;
		out->stx_size = 0;
		out->stx_blocks = 0;
		return r;
	}
	if (open_fd(fs, node) >= 0)
		return fs_stat_at(open_fd(fs, node), "", AT_EMPTY_PATH, out);
	r = fs_node_place(fs, node, &place);
	if (r == 0)
		r = fs_stat_at(place.dir, place.name, place.flags, out);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	return fs_key_is(&node->key, out) ? 0 : -ESTALE;
}

int fs_node_open(struct fs *fs, struct fs_node *node, int flags, struct statx *status)
{
	struct fs_place place;
	own_fd fd = -EBADF;
	/* not waiting for who has a lease of it, nor for a pipe that the host has put there */
	int how = (flags & ~O_TRUNC) | (flags & O_PATH ? 0 : O_NONBLOCK);
	int r = fs_node_place(fs, node, &place);

	if (r < 0)
		return r;
	if (!(flags & O_PATH) && node->type != S_IFREG && node->type != S_IFDIR)
		return -EACCES; /* pipes, sockets and devices of the host are not opened */
	if (place.flags == 0)
		fd = sys_open(place.dir, place.name, how, 0);
	else
		fd = fs_open_beneath(place.dir, place.name, how, 0);
	if (fd == -ELOOP || fd == -ENOENT || fd == -ENOTDIR || fd == -ENXIO)
		return -ESTALE;
	r = fd < 0 ? fd : fs_stat_at(fd, "", AT_EMPTY_PATH, status);
	if (r < 0)
		return r;
	if (!fs_key_is(&node->key, status))
		return -ESTALE;
	if (!(flags & (O_PATH | O_DIRECTORY)))
		r = (int)SYS(fcntl, fd, F_SETFL, flags & O_APPEND);
	if (r >= 0 && (flags & O_TRUNC)) /* now that it is known to be the right one */
		r = (int)SYS_RETRY(ftruncate, fd, 0);
	return r < 0 ? r : take_fd(&fd);
}

/* ---- life ---- */

int fs_nodes_init(struct fs *fs)
{
	struct statx status;
	int r = fs_stat_at(fs->config.root_fd, "", AT_EMPTY_PATH, &status);

	if (r < 0)
		return r;
	if (!S_ISDIR(status.stx_mode) && !S_ISREG(status.stx_mode))
		return -EINVAL;
	fs->is_file = S_ISREG(status.stx_mode);
	fs->root_device = makedev(status.stx_dev_major, status.stx_dev_minor);
	for (size_t i = 0; i < FS_DIR_SLOTS; i++)
		fs->dirs[i].fd = -EBADF;
	r = rehash(fs, FIRST_BUCKETS);
	if (r == 0 && fs->is_file) { /* the folder around it is no inode of the host */
		status.stx_ino = 0;
		status.stx_mode = S_IFDIR;
	}
	if (r == 0)
		r = add_node(fs, &status, &fs->root);
	CHECK(r < 0 || fs->root->id == FUSE_ROOT_ID);
	return r;
}

void fs_nodes_finish(struct fs *fs)
{
	for (uint32_t i = 0; i < fs->nodes.size; i++) {
		struct fs_node *node = fs->nodes.slots[i].object;

		if (!node)
			continue;
		close_dir(fs, node);
		fs_watch_end(fs, node);
		free(node->name);
		free(node);
	}
	fs_table_finish(&fs->nodes);
	free(fs->buckets);
	fs->buckets = NULL;
	fs->bucket_count = 0;
	fs->root = NULL;
}

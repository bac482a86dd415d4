/*
 * Extended attributes: those of users pass. "trusted." and "security." are the host's own words
 * about its files (file capabilities and labels act on the host, overlays trust theirs), and ACLs
 * would be judged by nobody; the guest neither sees nor sets them. Where the share's file system
 * has none of users either, the guest is told not to ask again: its kernel asks for the file
 * capabilities of each file that it writes to.
 */
#include "devices/fs/fs_private.h"

#include <linux/limits.h>
#include <sys/inotify.h>
#include <sys/xattr.h>

static bool is_users(const char *name)
{
	static const char prefix[] = "user.";
	size_t size = sizeof prefix - 1;

	return strncmp(name, prefix, size) == 0 && name[size] && strlen(name) <= XATTR_NAME_MAX;
}

void fs_look_for_attributes(struct fs *fs)
{
	char number[12];

	fs_number(fs->config.root_fd, number);
	fs->no_attributes = SYS(getxattr, number, "user.katavm", NULL, 0) == -EOPNOTSUPP;
}

static int refused(const struct fs *fs)
{
	return fs->no_attributes ? -ENOSYS : -EOPNOTSUPP;
}

/* A descriptor of exactly this inode, by its number in /proc/self/fd, which is where the process
 * is: these calls take paths only. */
static int find(struct fs *fs, struct fs_node *node, int *fd, char number[12])
{
	struct statx status;

	if (node->type != S_IFREG && node->type != S_IFDIR)
		return -EOPNOTSUPP;
	if (fs->is_file && node == fs->root)
		return -EOPNOTSUPP;
	if (node->handles) {
		fs_number(node->handles->fd, number);
		return 0;
	}
	*fd = fs_node_open(fs, node, O_PATH, &status);
	fs_number(*fd, number);
	return *fd < 0 ? *fd : 0;
}

int fs_op_setxattr(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fuse_setxattr_in in = *FS_BODY(call, struct fuse_setxattr_in);
	size_t at = FUSE_COMPAT_SETXATTR_IN_SIZE;
	const char *name = fs_word(call, &at);
	own_fd fd = -EBADF;
	char number[12];
	int r;

	if (!name || in.size > XATTR_SIZE_MAX || call->body_size - at < in.size)
		return -EINVAL;
	if (fs->no_attributes || !is_users(name))
		return refused(fs);
	r = find(fs, node, &fd, number);
	if (r < 0)
		return r;
	fs_own_node(fs, node, IN_ATTRIB);
	return (int)SYS(setxattr, number, name, fs->body + at, in.size,
			(int)(in.flags & (XATTR_CREATE | XATTR_REPLACE)));
}

int fs_op_removexattr(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	size_t at = 0;
	const char *name = fs_word(call, &at);
	own_fd fd = -EBADF;
	char number[12];
	int r;

	if (!name)
		return -EINVAL;
	if (fs->no_attributes || !is_users(name))
		return refused(fs);
	r = find(fs, node, &fd, number);
	if (r < 0)
		return r;
	fs_own_node(fs, node, IN_ATTRIB);
	return (int)SYS(removexattr, number, name);
}

static int answer_size(struct fs *fs, size_t size)
{
	struct fuse_getxattr_out *out = FS_ANSWER(fs, struct fuse_getxattr_out);

	*out = (struct fuse_getxattr_out){ .size = (uint32_t)size };
	return sizeof *out;
}

int fs_op_getxattr(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	uint32_t wanted = FS_BODY(call, struct fuse_getxattr_in)->size;
	size_t at = sizeof(struct fuse_getxattr_in);
	const char *name = fs_word(call, &at);
	own_fd fd = -EBADF;
	char number[12];
	long n;
	int r;

	if (!name)
		return -EINVAL;
	if (fs->no_attributes || !is_users(name))
		return refused(fs);
	r = find(fs, node, &fd, number);
	if (r < 0)
		return r;
	n = SYS(getxattr, number, name, fs->answer, (size_t)XATTR_SIZE_MAX);
	if (n < 0)
		return (int)n;
	if (wanted == 0)
		return answer_size(fs, (size_t)n);
	return (size_t)n > wanted ? -ERANGE : (int)n;
}

int fs_op_listxattr(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	uint32_t wanted = FS_BODY(call, struct fuse_getxattr_in)->size;
	char *names = (char *)fs->answer;
	own_fd fd = -EBADF;
	char number[12];
	long n, kept = 0;
	int r = fs->no_attributes ? -ENOSYS : find(fs, node, &fd, number);

	if (r < 0)
		return r == -EOPNOTSUPP ? answer_size(fs, 0) : r;
	n = SYS(listxattr, number, names, (size_t)XATTR_LIST_MAX);
	if (n < 0)
		return (int)n;
	for (long at = 0; at < n;) {
		long size = (long)strnlen(names + at, (size_t)(n - at)) + 1;

		if (at + size > n)
			break;
		if (is_users(names + at)) {
			memmove(names + kept, names + at, (size_t)size);
			kept += size;
		}
		at += size;
	}
	if (wanted == 0)
		return answer_size(fs, (size_t)kept);
	return (uint64_t)kept > wanted ? -ERANGE : (int)kept;
}

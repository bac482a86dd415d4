#include "agent/nodes.h"

#include "agent/kernel.h"
#include "agent/paths.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct node {
	const char *path;
	mode_t mode; /* with its type */
	unsigned major, minor;
	uid_t uid;
	gid_t gid;
};

static const struct node usual_nodes[] = {
	{ "/dev/null", S_IFCHR | 0666, 1, 3, 0, 0 },
	{ "/dev/zero", S_IFCHR | 0666, 1, 5, 0, 0 },
	{ "/dev/full", S_IFCHR | 0666, 1, 7, 0, 0 },
	{ "/dev/random", S_IFCHR | 0666, 1, 8, 0, 0 },
	{ "/dev/urandom", S_IFCHR | 0666, 1, 9, 0, 0 },
	{ "/dev/tty", S_IFCHR | 0666, 5, 0, 0, 0 },
};

static const struct {
	const char *name, *target;
} usual_links[] = {
	{ "/dev/fd", "/proc/self/fd" },       { "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" }, { "/dev/stderr", "/proc/self/fd/2" },
	{ "/dev/ptmx", "pts/ptmx" },          { "/dev/core", "/proc/kcore" },
};

static bool is_same_node(int parent, const char *name, const struct node *node)
{
	struct stat stat;

	return SYS(fstatat, parent, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (stat.st_mode & S_IFMT) == (node->mode & S_IFMT) &&
	       (S_ISFIFO(node->mode) || stat.st_rdev == makedev(node->major, node->minor));
}

static int make_node(int root, const struct node *node, struct error *err)
{
	const char *name;
	own_fd parent = paths_make_parent(root, node->path, &name, err);
	dev_t number = makedev(node->major, node->minor);
	int r;

	if (parent < 0)
		return parent;
	r = (int)SYS(mknodat, parent, name, node->mode, number);
	if (r == -EEXIST && !is_same_node(parent, name, node)) {
		r = (int)SYS(unlinkat, parent, name, 0);
		if (r == 0)
			r = (int)SYS(mknodat, parent, name, node->mode, number);
	}
	if (r == 0 || r == -EEXIST)
		r = (int)SYS(fchownat, parent, name, node->uid, node->gid, AT_SYMLINK_NOFOLLOW);
	if (r == 0) /* it is no link, and mknod was subject to the umask */
		r = (int)SYS(fchmodat, parent, name, node->mode & 07777, 0);
	return r < 0 ? error_set(err, r, "make the device %s: %s", node->path, sys_text(r)) : 0;
}

int nodes_make_disk(int root, const char *path, unsigned major, unsigned minor, struct error *err)
{
	const struct node node = {
		.path = path, .mode = S_IFBLK | 0600, .major = major, .minor = minor
	};
	const char *name;
	own_fd parent = paths_make_parent(root, path, &name, err);
	int r;

	if (parent < 0)
		return parent;
	r = (int)SYS(mknodat, parent, name, node.mode, makedev(major, minor));
	if (r == -EEXIST && is_same_node(parent, name, &node))
		r = 0;
	return r < 0 ? error_set(err, r, "make the device %s: %s", path,
				 r == -EEXIST ? "there is a file of this name" : sys_text(r))
		     : 0;
}

void nodes_remove_disk(int root, const char *path, unsigned major, unsigned minor)
{
	const struct node node = { .mode = S_IFBLK, .major = major, .minor = minor };
	struct error ignored;
	const char *name;
	own_fd parent = paths_make_parent(root, path, &name, &ignored);

	if (parent >= 0 && is_same_node(parent, name, &node))
		(void)SYS(unlinkat, parent, name, 0);
}

static int make_link(int root, const char *path, const char *target, struct error *err)
{
	const char *name;
	own_fd parent = paths_make_parent(root, path, &name, err);
	int r;

	if (parent < 0)
		return parent;
	r = (int)SYS(symlinkat, target, parent, name);
	return r < 0 && r != -EEXIST ? error_set(err, r, "make the link %s: %s", path, sys_text(r))
				     : 0;
}

static mode_t node_type(const char *type)
{
	return *type == 'b' ? S_IFBLK : *type == 'p' ? S_IFIFO : S_IFCHR; /* "c" and "u" */
}

/* A /dev that is bound from elsewhere is not ours to fill. */
static bool dev_is_bound(const message_container *container)
{
	for (size_t i = 0; i < container->n_mounts; i++) {
		const message_mount *mount = container->mounts[i];

		if (strcmp(mount->destination, "/dev") == 0 && strcmp(mount->type, "tmpfs") != 0)
			return true;
	}
	return false;
}

int nodes_make(int root, const message_container *container, struct error *err)
{
	bool usual = !dev_is_bound(container);
	int r = 0;

	for (size_t i = 0; usual && r == 0 && i < sizeof usual_nodes / sizeof *usual_nodes; i++)
		r = make_node(root, &usual_nodes[i], err);
	for (size_t i = 0; usual && r == 0 && i < sizeof usual_links / sizeof *usual_links; i++)
		r = make_link(root, usual_links[i].name, usual_links[i].target, err);
	for (size_t i = 0; r == 0 && i < container->n_devices; i++) {
		const message_device *device = container->devices[i];
		const struct node node = { .path = device->path,
					   .mode = node_type(device->type) |
						   (device->mode ? device->mode & 07777 : 0666),
					   .major = (unsigned)device->major,
					   .minor = (unsigned)device->minor,
					   .uid = device->uid,
					   .gid = device->gid };

		r = make_node(root, &node, err);
	}
	return r;
}

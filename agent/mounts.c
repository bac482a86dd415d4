#include "agent/mounts.h"

#include "agent/copy.h"
#include "agent/kernel.h"
#include "agent/paths.h"
#include "agent/shares.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define ATIME KERNEL_MOUNT_ATIME_MASK

/* What a word does to a mount. "r" before it does the same to all mounts below. */
static const struct {
	const char *name;
	uint64_t set, clear;
} attributes[] = {
	{ "ro", KERNEL_MOUNT_RDONLY, 0 },
	{ "rw", 0, KERNEL_MOUNT_RDONLY },
	{ "nosuid", KERNEL_MOUNT_NOSUID, 0 },
	{ "suid", 0, KERNEL_MOUNT_NOSUID },
	{ "nodev", KERNEL_MOUNT_NODEV, 0 },
	{ "dev", 0, KERNEL_MOUNT_NODEV },
	{ "noexec", KERNEL_MOUNT_NOEXEC, 0 },
	{ "exec", 0, KERNEL_MOUNT_NOEXEC },
	{ "nosymfollow", KERNEL_MOUNT_NOSYMFOLLOW, 0 },
	{ "symfollow", 0, KERNEL_MOUNT_NOSYMFOLLOW },
	{ "nodiratime", KERNEL_MOUNT_NODIRATIME, 0 },
	{ "diratime", 0, KERNEL_MOUNT_NODIRATIME },
	{ "relatime", 0, ATIME },
	{ "norelatime", 0, ATIME },
	{ "atime", 0, ATIME },
	{ "noatime", KERNEL_MOUNT_NOATIME, ATIME },
	{ "strictatime", KERNEL_MOUNT_STRICTATIME, ATIME },
	{ "nostrictatime", 0, ATIME },
};

static const struct {
	const char *name;
	uint64_t value;
	bool recursive;
} propagations[] = {
	{ "private", KERNEL_PRIVATE, false },       { "rprivate", KERNEL_PRIVATE, true },
	{ "shared", KERNEL_SHARED, false },         { "rshared", KERNEL_SHARED, true },
	{ "slave", KERNEL_SLAVE, false },           { "rslave", KERNEL_SLAVE, true },
	{ "unbindable", KERNEL_UNBINDABLE, false }, { "runbindable", KERNEL_UNBINDABLE, true },
};

static bool parse_attribute(const char *word, struct mount_options *out)
{
	for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
		bool plain = strcmp(word, attributes[i].name) == 0;

		if (!plain && (word[0] != 'r' || strcmp(word + 1, attributes[i].name) != 0))
			continue;
		if (plain) {
			out->clear = (out->clear & ~attributes[i].set) | attributes[i].clear;
			out->set = (out->set & ~attributes[i].clear) | attributes[i].set;
		} else {
			out->recursive_clear |= attributes[i].clear;
			out->recursive_set |= attributes[i].set;
		}
		return true;
	}
	return false;
}

static bool parse_propagation(const char *word, struct mount_options *out)
{
	for (size_t i = 0; i < sizeof propagations / sizeof *propagations; i++) {
		if (strcmp(word, propagations[i].name) != 0)
			continue;
		out->propagation = propagations[i].value;
		out->propagation_recursive = propagations[i].recursive;
		return true;
	}
	return false;
}

static bool parse_word(const char *word, struct mount_options *out)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "bind", &out->bind },
		{ "rbind", &out->recursive_bind },
		{ "remount", &out->remount },
		{ "tmpcopyup", &out->copy_up },
	};

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		if (strcmp(word, flags[i].name) == 0) {
			*flags[i].flag = true;
			return true;
		}
	}
	return strcmp(word, "defaults") == 0 || *word == '\0';
}

int mounts_parse(char *const *options, size_t count, struct mount_options *out, struct error *err)
{
	struct mount_options parsed = { 0 };

	for (size_t i = 0; i < count; i++) {
		const char *word = options[i];

		if (parse_word(word, &parsed) || parse_attribute(word, &parsed) ||
		    parse_propagation(word, &parsed))
			continue;
		if (strcmp(word, "idmap") == 0 || strcmp(word, "ridmap") == 0)
			return error_set(err, -EOPNOTSUPP, "mount option %s is not supported",
					 word);
		if (parsed.data_count == MOUNTS_MAX_DATA)
			return error_set(err, -E2BIG, "more than %d mount options",
					 MOUNTS_MAX_DATA);
		parsed.data[parsed.data_count++] = word;
	}
	parsed.bind |= parsed.recursive_bind;
	*out = parsed;
	return 0;
}

static int configure(int fs, const char *option)
{
	const char *equals = strchr(option, '=');
	char key[64];

	if (!equals)
		return kernel_fsconfig(fs, option, NULL);
	if ((size_t)(equals - option) >= sizeof key)
		return -EINVAL;
	memcpy(key, option, (size_t)(equals - option));
	key[equals - option] = '\0';
	return kernel_fsconfig(fs, key, equals + 1);
}

static int explain(int fs, const message_mount *mount, const char *step, int r, struct error *err)
{
	char said[160];

	kernel_fs_message(fs, said, sizeof said);
	return error_set(err, r, "mount %s on %s: %s: %s", mount->type, mount->destination, step,
			 *said ? said : sys_text(r));
}

/* A detached mount of a new file system. */
static int make_new(const message_mount *mount, const struct mount_options *options,
		    struct error *err)
{
	const char *type = strcmp(mount->type, "cgroup") == 0 ? "cgroup2" : mount->type;
	own_fd fs = kernel_fsopen(type);
	int r;

	if (fs < 0)
		return error_set(err, fs,
				 "mount %s on %s: the guest kernel has no such file system",
				 mount->type, mount->destination);
	if (*mount->source) {
		r = kernel_fsconfig(fs, "source", mount->source);
		if (r < 0)
			return explain(fs, mount, mount->source, r, err);
	}
	for (size_t i = 0; i < options->data_count; i++) {
		r = configure(fs, options->data[i]);
		if (r < 0)
			return explain(fs, mount, options->data[i], r, err);
	}
	r = kernel_fsmount(fs, 0);
	return r < 0 ? explain(fs, mount, "make", r, err) : r;
}

/* Without a source it is the destination itself, made when it is missing: a part of the root file
 * system that is a mount of its own. */
static int open_source(int root, const message_mount *mount, const struct mount_options *options,
		       struct error *err)
{
	own_fd self = -1;

	if (*mount->source)
		return kernel_open_tree(AT_FDCWD, mount->source, options->recursive_bind);
	self = paths_make(root, mount->destination, PATHS_FOLDER, err);
	return self < 0 ? self : kernel_open_tree(self, "", options->recursive_bind);
}

static int make_bind(int root, const message_mount *mount, const struct mount_options *options,
		     enum paths_kind *kind, struct error *err)
{
	int fd = open_source(root, mount, options, err);
	struct stat stat;

	if (fd < 0)
		return error_set(err, fd, "mount %s on %s: %s", mount->source, mount->destination,
				 sys_text(fd));
	*kind = SYS(fstat, fd, &stat) == 0 && !S_ISDIR(stat.st_mode) ? PATHS_FILE : PATHS_FOLDER;
	return fd;
}

/* Single-mount changes, then those for the whole tree. */
static int apply(int fd, const struct mount_options *options)
{
	const struct kernel_mount_change changes[] = {
		{ .set = options->set, .clear = options->clear },
		{ .set = options->recursive_set,
		  .clear = options->recursive_clear,
		  .recursive = true },
		{ .propagation = options->propagation,
		  .recursive = options->propagation_recursive },
	};

	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		struct kernel_mount_change change = changes[i];
		int r;

		if (!change.set && !change.clear && !change.propagation)
			continue;
		if (change.set & ATIME) /* the kernel wants the whole field cleared first */
			change.clear |= ATIME;
		r = kernel_change_mount(fd, &change);
		if (r < 0)
			return r;
	}
	return 0;
}

static int remount(int root, const message_mount *mount, const struct mount_options *options,
		   struct error *err)
{
	own_fd fd = kernel_open_in_root(root, mount->destination, O_PATH, 0);
	int r = fd < 0 ? fd : apply(fd, options);

	return r < 0 ? error_set(err, r, "remount %s: %s", mount->destination, sys_text(r)) : 0;
}

static bool has_data(const struct mount_options *options, const char *prefix)
{
	for (size_t i = 0; i < options->data_count; i++)
		if (strncmp(options->data[i], prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

/* A tmpfs is as open as the folder it covers, unless told otherwise. */
static int keep_mode(int root, const message_mount *mount, const struct mount_options *options,
		     int made)
{
	own_fd covered = -1;
	struct stat stat;

	if (strcmp(mount->type, "tmpfs") != 0 || has_data(options, "mode="))
		return 0;
	covered = kernel_open_in_root(root, mount->destination, O_PATH | O_DIRECTORY, 0);
	if (covered < 0 || SYS(fstat, covered, &stat) < 0)
		return 0;
	return (int)SYS(fchmodat, made, ".", stat.st_mode & 07777, 0);
}

int mounts_make(int root, const message_mount *mount, struct error *err)
{
	enum paths_kind kind = PATHS_FOLDER;
	struct mount_options options;
	own_fd made = -1, target = -1;
	bool bind;
	int r = mounts_parse(mount->options, mount->n_options, &options, err);

	if (r < 0)
		return r;
	if (options.remount)
		return remount(root, mount, &options, err);
	bind = options.bind || strcmp(mount->type, "bind") == 0;
	if (strcmp(mount->type, "virtiofs") == 0)
		made = shares_mount(mount, &kind, err);
	else
		made = bind ? make_bind(root, mount, &options, &kind, err)
			    : make_new(mount, &options, err);
	if (made < 0)
		return made;
	r = bind ? 0 : keep_mode(root, mount, &options, made);
	target = paths_make(root, mount->destination, kind, err);
	if (target < 0)
		return target;
	if (r == 0 && options.copy_up && !bind)
		r = copy_tree(target, made);
	if (r == 0)
		r = apply(made, &options);
	if (r == 0)
		r = kernel_attach(made, target);
	if (r < 0)
		return error_set(err, r, "mount %s on %s: %s", bind ? mount->source : mount->type,
				 mount->destination, sys_text(r));
	return 0;
}

int mounts_mask(int root, const char *path, int null_device, struct error *err)
{
	own_fd target = kernel_open_in_root(root, path, O_PATH, 0);
	own_fd cover = -1;
	struct stat stat;
	int r = target;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (r >= 0)
		r = (int)SYS(fstat, target, &stat);
	if (r >= 0) {
		cover = S_ISDIR(stat.st_mode) ? kernel_mount_detached("tmpfs", KERNEL_MOUNT_RDONLY)
					      : kernel_open_tree(null_device, "", false);
		r = cover < 0 ? cover : kernel_attach(cover, target);
	}
	return r < 0 ? error_set(err, r, "mask %s: %s", path, sys_text(r)) : 0;
}

int mounts_make_readonly(int root, const char *path, struct error *err)
{
	const struct kernel_mount_change change = { .set = KERNEL_MOUNT_RDONLY, .recursive = true };
	own_fd target = kernel_open_in_root(root, path, O_PATH, 0);
	own_fd copy = -1;
	int r;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	copy = target < 0 ? target : kernel_open_tree(target, "", true);
	r = copy < 0 ? copy : kernel_change_mount(copy, &change);
	if (r >= 0)
		r = kernel_attach(copy, target);
	return r < 0 ? error_set(err, r, "make %s read-only: %s", path, sys_text(r)) : 0;
}

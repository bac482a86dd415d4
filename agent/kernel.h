#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Linux calls that the C library has no function for. All answer with -errno, all descriptors are
 * close-on-exec. Mounts are made detached and then attached to a descriptor, so that no path is
 * ever looked up twice.
 */

/* Values of linux/mount.h, which does not go together with the C library's sys/mount.h. */
enum {
	KERNEL_MOUNT_RDONLY = 0x1,
	KERNEL_MOUNT_NOSUID = 0x2,
	KERNEL_MOUNT_NODEV = 0x4,
	KERNEL_MOUNT_NOEXEC = 0x8,
	KERNEL_MOUNT_ATIME_MASK = 0x70,
	KERNEL_MOUNT_NOATIME = 0x10,
	KERNEL_MOUNT_STRICTATIME = 0x20,
	KERNEL_MOUNT_NODIRATIME = 0x80,
	KERNEL_MOUNT_NOSYMFOLLOW = 0x200000,

	KERNEL_UNBINDABLE = 1 << 17,
	KERNEL_PRIVATE = 1 << 18,
	KERNEL_SLAVE = 1 << 19,
	KERNEL_SHARED = 1 << 20,
};

struct kernel_mount_change {
	uint64_t set, clear;  /* KERNEL_MOUNT_* */
	uint64_t propagation; /* 0: as it is */
	bool recursive;
};

int kernel_fsopen(const char *type);
/* value NULL: the option is a word on its own. */
int kernel_fsconfig(int fs, const char *key, const char *value);
/* Makes the configured file system; gives a detached mount of it. */
int kernel_fsmount(int fs, uint64_t attributes);
/* The kernel's last words about fs, or "" when it said nothing. */
void kernel_fs_message(int fs, char *text, size_t size);
/* All of the above for a file system without options: a detached mount. */
int kernel_mount_detached(const char *type, uint64_t attributes);

/* A detached copy of the mount at (dir, path); path "" is dir itself. */
int kernel_open_tree(int dir, const char *path, bool recursive);
/* Attaches a detached mount where target, an O_PATH descriptor, is. */
int kernel_attach(int mount, int target);
/* The mount that fd is the root of. */
int kernel_change_mount(int fd, const struct kernel_mount_change *change);
/* The mount at fd becomes /, and what was / is detached. */
int kernel_pivot_root(int fd);

/* Opens path as seen by a process whose root is `root`: no link, absolute or with .., leads out,
 * and links of /proc/PID are not followed. */
int kernel_open_in_root(int root, const char *path, int flags, mode_t mode);
/* The same for what is on the root's own mount; -EXDEV: the path leads onto another. */
int kernel_open_in_mount(int root, const char *path, int flags, mode_t mode);

/* Within a folder; -EEXIST: there is something of the new name. */
int kernel_rename_new(int folder, const char *from, const char *to);

/* A child like fork's: 0 in it, its pid here. cgroup < 0: the caller's own. *pidfd may be NULL. */
pid_t kernel_clone(uint64_t flags, int cgroup, int *pidfd);
int kernel_close_from(unsigned first);
int kernel_join_session_keyring(const char *name);
int kernel_seccomp_filter(unsigned flags, const void *program);
int kernel_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable);
int kernel_bpf(int command, void *attributes, unsigned size);
uint64_t kernel_boottime_ns(void);

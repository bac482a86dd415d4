#include "agent/kernel.h"

#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

/* CLONE_INTO_CGROUP; its type depends on the C library. */
#define INTO_CGROUP ((uint64_t)1 << 33)
#define WITH_PIDFD  ((uint64_t)CLONE_PIDFD)

#define CALL(number, ...) SYS(syscall, number, __VA_ARGS__)

_Static_assert((int)KERNEL_MOUNT_NOSYMFOLLOW == MOUNT_ATTR_NOSYMFOLLOW, "linux/mount.h");
_Static_assert((int)KERNEL_MOUNT_ATIME_MASK == MOUNT_ATTR__ATIME, "linux/mount.h");

int kernel_fsopen(const char *type)
{
	return (int)CALL(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

int kernel_fsconfig(int fs, const char *key, const char *value)
{
	unsigned command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

	return (int)CALL(SYS_fsconfig, fs, command, key, value, 0);
}

int kernel_fsmount(int fs, uint64_t attributes)
{
	int r = (int)CALL(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);

	return r < 0 ? r : (int)CALL(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
}

/* Messages are "e text", one per read. */
void kernel_fs_message(int fs, char *text, size_t size)
{
	char line[200];
	long got = SYS(read, fs, line, sizeof line - 1);

	text[0] = '\0';
	if (got <= 2)
		return;
	line[got] = '\0';
	line[strcspn(line, "\n")] = '\0';
	(void)snprintf(text, size, "%s", line + 2);
}

int kernel_mount_detached(const char *type, uint64_t attributes)
{
	own_fd fs = kernel_fsopen(type);

	return fs < 0 ? fs : kernel_fsmount(fs, attributes);
}

int kernel_open_tree(int dir, const char *path, bool recursive)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;

	return (int)CALL(SYS_open_tree, dir, path,
			 flags | (recursive ? (unsigned)AT_RECURSIVE : 0));
}

int kernel_attach(int mount, int target)
{
	return (int)CALL(SYS_move_mount, mount, "", target, "",
			 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int kernel_change_mount(int fd, const struct kernel_mount_change *change)
{
	struct mount_attr attributes = { .attr_set = change->set,
					 .attr_clr = change->clear,
					 .propagation = change->propagation };
	unsigned flags = AT_EMPTY_PATH | (change->recursive ? (unsigned)AT_RECURSIVE : 0);

	return (int)CALL(SYS_mount_setattr, fd, "", flags, &attributes, sizeof attributes);
}

/* With both arguments "." the old root ends up on top of the new one, and goes from there. */
int kernel_pivot_root(int fd)
{
	enum { DETACH = 2 }; /* MNT_DETACH */
	int r = (int)SYS(fchdir, fd);

	if (r < 0)
		return r;
	r = (int)CALL(SYS_pivot_root, ".", ".");
	if (r < 0)
		return r;
	r = (int)CALL(SYS_umount2, ".", DETACH);
	return r < 0 ? r : (int)SYS(chdir, "/");
}

static int open_resolved(int root, const char *path, int flags, mode_t mode, unsigned resolve)
{
	struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
				.mode = mode,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve };

	return (int)CALL(SYS_openat2, root, path, &how, sizeof how);
}

int kernel_open_in_root(int root, const char *path, int flags, mode_t mode)
{
	return open_resolved(root, path, flags, mode, 0);
}

int kernel_open_in_mount(int root, const char *path, int flags, mode_t mode)
{
	return open_resolved(root, path, flags, mode, RESOLVE_NO_XDEV);
}

int kernel_rename_new(int folder, const char *from, const char *to)
{
	return (int)CALL(SYS_renameat2, folder, from, folder, to, RENAME_NOREPLACE);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes *pidfd */
pid_t kernel_clone(uint64_t flags, int cgroup, int *pidfd)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };

	if (cgroup >= 0) {
		args.flags |= INTO_CGROUP;
		args.cgroup = (unsigned)cgroup;
	}
	if (pidfd) {
		args.flags |= WITH_PIDFD;
		args.pidfd = (uintptr_t)pidfd;
	}
	return (pid_t)CALL(SYS_clone3, &args, sizeof args);
}

int kernel_close_from(unsigned first)
{
	return (int)CALL(SYS_close_range, first, ~0U, 0);
}

int kernel_join_session_keyring(const char *name)
{
	return (int)CALL(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0);
}

int kernel_seccomp_filter(unsigned flags, const void *program)
{
	return (int)CALL(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
}

int kernel_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (unsigned half = 0; half < 2; half++) {
		data[half].effective = (uint32_t)(effective >> (32 * half));
		data[half].permitted = (uint32_t)(permitted >> (32 * half));
		data[half].inheritable = (uint32_t)(inheritable >> (32 * half));
	}
	return (int)CALL(SYS_capset, &header, data);
}

int kernel_bpf(int command, void *attributes, unsigned size)
{
	return (int)CALL(SYS_bpf, command, attributes, size);
}

uint64_t kernel_boottime_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

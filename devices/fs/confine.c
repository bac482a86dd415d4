/*
 * For whoever writes the filter: io_uring_enter, openat2, openat (of /proc/self/fd/N), statx,
 * fstat, read, write, preadv2, pwritev, pwritev2, getdents64, lseek, close, fcntl, flock, the ...at
 * calls that make, remove, rename and link names, readlinkat, fchmodat, fchownat, utimensat,
 * ftruncate, fallocate, copy_file_range, fsync, fdatasync, syncfs, fstatfs, the xattr calls,
 * setfsuid, setfsgid, capget, capset, sendmsg, recvmsg, mmap, munmap, brk, madvise, clone3 (one
 * helper thread), futex, clock_gettime, exit_group; where a share notifies also inotify_init1,
 * inotify_add_watch (of /proc/self/fd/N) and inotify_rm_watch.
 */
#include "devices/fs/confine.h"
#include "base/sys.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const uint32_t writing = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER |
				1U << CAP_FSETID | 1U << CAP_SETUID | 1U << CAP_SETGID;
static const uint32_t reading = 1U << CAP_DAC_OVERRIDE;

static long capget(struct __user_cap_header_struct *header, struct __user_cap_data_struct *data)
{
	return syscall(SYS_capget, header, data);
}

static long capset(struct __user_cap_header_struct *header, struct __user_cap_data_struct *data)
{
	return syscall(SYS_capset, header, data);
}

static int drop_capabilities(uint32_t keep)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	int r;

	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		if (i >= 32 || !(keep >> i & 1))
			(void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0); /* unknown to an older host */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	r = (int)SYS(capget, &header, data);
	if (r < 0)
		return r;
	data[0].permitted &= keep;
	/* without it the host takes set-user bits away when a file is written: credentials.c */
	data[0].effective = data[0].permitted & ~(1U << CAP_FSETID);
	data[0].inheritable = 0;
	data[1] = (struct __user_cap_data_struct){ 0 };
	return (int)SYS(capset, &header, data);
}

/* Open files of the guest are descriptors here. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (SYS(getrlimit, RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)SYS(setrlimit, RLIMIT_NOFILE, &limit);
	limit = (struct rlimit){ 0 };
	(void)SYS(setrlimit, RLIMIT_CORE, &limit);
}

int fs_confine(bool writes, struct error *err)
{
	int r = 0;

	(void)umask(0); /* the guest's was applied by its kernel */
	raise_limit();
	if (geteuid() == 0)
		r = (int)SYS(setgroups, 0, NULL);
	if (r == 0)
		r = drop_capabilities(writes ? writing : reading);
	if (r == 0)
		r = (int)SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (r == 0)
		r = (int)SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r < 0 ? error_set(err, r, "give up privileges: %s", sys_text(r)) : 0;
}

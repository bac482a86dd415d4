#include "runtime/layer/confine.h"

#include "base/sys.h"

#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#endif

enum { NOBODY = 65534 };

static int limit(int resource, uint64_t value, struct error *err)
{
	struct rlimit rlimit;
	int r = (int)SYS(getrlimit, (__rlimit_resource_t)resource, &rlimit);

	if (r == 0) {
		if (value < rlimit.rlim_max)
			rlimit.rlim_max = value;
		rlimit.rlim_cur = rlimit.rlim_max;
		r = (int)SYS(setrlimit, (__rlimit_resource_t)resource, &rlimit);
	}
	return r < 0 ? error_set(err, r, "limit a layer's converter: %s", sys_text(r)) : 0;
}

static int limit_all(const struct confine_limits *limits, struct error *err)
{
	int r = 0;

#ifndef HAS_ASAN /* whose shadow takes terabytes of address space */
	r = limit(RLIMIT_AS, limits->memory_bytes, err);
#endif
	if (r == 0)
		r = limit(RLIMIT_FSIZE, limits->file_bytes, err);
	if (r == 0)
		r = limit(RLIMIT_CORE, 0, err);
	if (r == 0)
		r = limit(RLIMIT_NPROC, 0, err);
	/* past the limit write(2) shall fail, not kill */
	(void)signal(SIGXFSZ, SIG_IGN);
	return r;
}

/* Root's children are nobody. In a user namespace that does not map nobody they stay who they are:
 * the filter below is the wall, this is what stands behind it. */
static void drop_root(void)
{
	if (geteuid() != 0)
		return;
	(void)setgroups(0, NULL);
	(void)!setresgid(NOBODY, NOBODY, NOBODY);
	(void)!setresuid(NOBODY, NOBODY, NOBODY);
}

static const int common_calls[] = {
	SCMP_SYS(read),       SCMP_SYS(recvfrom),      SCMP_SYS(sendto),
	SCMP_SYS(munmap),     SCMP_SYS(mremap),        SCMP_SYS(madvise),
	SCMP_SYS(brk),        SCMP_SYS(futex),         SCMP_SYS(sysinfo),
	SCMP_SYS(getrandom),  SCMP_SYS(clock_gettime), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn),  SCMP_SYS(restart_syscall),
};

static const int file_calls[] = {
	SCMP_SYS(pwrite64),
	SCMP_SYS(fallocate),
	SCMP_SYS(ftruncate),
};

/* libc's qsort asks for the machine's memory in /proc/meminfo, and does well without. */
static const int refused_calls[] = { SCMP_SYS(open), SCMP_SYS(openat) };

static int allow(scmp_filter_ctx filter, const int *calls, size_t count, uint32_t action)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = seccomp_rule_add(filter, action, calls[i], 0);
	return r;
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int fill_filter(scmp_filter_ctx filter, bool writes_file)
{
	struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int r = allow(filter, common_calls, COUNT(common_calls), SCMP_ACT_ALLOW);

	if (r == 0)
		r = allow(filter, refused_calls, COUNT(refused_calls), SCMP_ACT_ERRNO(EACCES));
	if (r == 0 && writes_file)
		r = allow(filter, file_calls, COUNT(file_calls), SCMP_ACT_ALLOW);
	if (r == 0)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_code);
	if (r == 0)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_code);
	return r;
}

static int seal(bool writes_file, struct error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? fill_filter(filter, writes_file) : -ENOMEM;

	if (r == 0)
		r = seccomp_load(filter); /* sets no_new_privs */
	if (filter)
		seccomp_release(filter);
	return r < 0 ? error_set(err, r, "seal a layer's converter: %s", sys_text(r)) : 0;
}

int confine(const struct confine_limits *limits, struct error *err)
{
	int r = limit_all(limits, err);

	if (r < 0)
		return r;
	drop_root();
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* changing the user had reset it */
	return seal(limits->writes_file, err);
}

/*
 * A deny-list over a frozen allow-list: what libseccomp of the build knows by name is allowed
 * unless the table below says otherwise; what it does not know (newer calls) does not exist for the
 * container (ENOSYS), so that programs take their fallback.
 */
#include "runtime/syscall_profile.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { LAST_SYSCALL = 511 };

#define CAP(name) (UINT64_C(1) << CAP_##name)
#define NEVER     0
#define NEW_NAMESPACES                                                                             \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

struct refusal {
	const char *name;
	uint64_t unless; /* allowed with any of these capabilities */
};

static const struct refusal refusals[] = {
	/* the kernel's own memory, modules, clock and start */
	{ "acct", CAP(SYS_PACCT) },
	{ "clock_settime", CAP(SYS_TIME) },
	{ "clock_settime64", CAP(SYS_TIME) },
	{ "create_module", NEVER },
	{ "delete_module", CAP(SYS_MODULE) },
	{ "finit_module", CAP(SYS_MODULE) },
	{ "get_kernel_syms", NEVER },
	{ "init_module", CAP(SYS_MODULE) },
	{ "ioperm", CAP(SYS_RAWIO) },
	{ "iopl", CAP(SYS_RAWIO) },
	{ "kexec_file_load", NEVER },
	{ "kexec_load", NEVER },
	{ "nfsservctl", NEVER },
	{ "query_module", NEVER },
	{ "reboot", CAP(SYS_BOOT) },
	{ "settimeofday", CAP(SYS_TIME) },
	{ "stime", CAP(SYS_TIME) },
	{ "swapoff", NEVER },
	{ "swapon", NEVER },
	{ "syslog", CAP(SYS_ADMIN) | CAP(SYSLOG) },
	{ "vhangup", CAP(SYS_TTY_CONFIG) },
	/* file systems and namespaces */
	{ "fsconfig", CAP(SYS_ADMIN) },
	{ "fsmount", CAP(SYS_ADMIN) },
	{ "fsopen", CAP(SYS_ADMIN) },
	{ "fspick", CAP(SYS_ADMIN) },
	{ "mount", CAP(SYS_ADMIN) },
	{ "mount_setattr", CAP(SYS_ADMIN) },
	{ "move_mount", CAP(SYS_ADMIN) },
	{ "open_by_handle_at", CAP(DAC_READ_SEARCH) },
	{ "open_tree", CAP(SYS_ADMIN) },
	{ "pivot_root", CAP(SYS_ADMIN) },
	{ "quotactl", CAP(SYS_ADMIN) },
	{ "quotactl_fd", CAP(SYS_ADMIN) },
	{ "setdomainname", CAP(SYS_ADMIN) },
	{ "sethostname", CAP(SYS_ADMIN) },
	{ "setns", CAP(SYS_ADMIN) },
	{ "umount", CAP(SYS_ADMIN) },
	{ "umount2", CAP(SYS_ADMIN) },
	{ "unshare", CAP(SYS_ADMIN) },
	/* large and young parts of the kernel */
	{ "bpf", CAP(SYS_ADMIN) | CAP(BPF) },
	{ "fanotify_init", CAP(SYS_ADMIN) },
	{ "io_uring_enter", NEVER },
	{ "io_uring_register", NEVER },
	{ "io_uring_setup", NEVER },
	{ "lookup_dcookie", CAP(SYS_ADMIN) },
	{ "perf_event_open", CAP(SYS_ADMIN) | CAP(PERFMON) },
	{ "userfaultfd", NEVER },
	/* not separated by containers: keyrings */
	{ "add_key", NEVER },
	{ "keyctl", NEVER },
	{ "request_key", NEVER },
	/* other processes and where memory lives */
	{ "get_mempolicy", CAP(SYS_NICE) },
	{ "kcmp", CAP(SYS_PTRACE) },
	{ "mbind", CAP(SYS_NICE) },
	{ "migrate_pages", NEVER },
	{ "move_pages", NEVER },
	{ "pidfd_getfd", CAP(SYS_PTRACE) },
	{ "process_madvise", CAP(SYS_PTRACE) },
	{ "set_mempolicy", CAP(SYS_NICE) },
	{ "set_mempolicy_home_node", CAP(SYS_NICE) },
	/* of old, with better ways since */
	{ "_sysctl", NEVER },
	{ "bdflush", NEVER },
	{ "sysfs", NEVER },
	{ "uselib", NEVER },
	{ "ustat", NEVER },
	{ "vm86", NEVER },
	{ "vm86old", NEVER },
	/* by their arguments, below */
	{ "clone", CAP(SYS_ADMIN) },
	{ "clone3", CAP(SYS_ADMIN) },
	{ "personality", NEVER },
	{ "socket", NEVER },
};

const uint64_t syscall_profile_capabilities =
    CAP(SYS_PACCT) | CAP(SYS_TIME) | CAP(SYS_MODULE) | CAP(SYS_RAWIO) | CAP(SYS_BOOT) |
    CAP(SYS_ADMIN) | CAP(SYSLOG) | CAP(SYS_TTY_CONFIG) | CAP(DAC_READ_SEARCH) | CAP(BPF) |
    CAP(PERFMON) | CAP(SYS_NICE) | CAP(SYS_PTRACE);

static const struct refusal *find_refusal(const char *name)
{
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
		if (strcmp(refusals[i].name, name) == 0)
			return &refusals[i];
	return NULL;
}

/* A rule for a call that one of the two architectures lacks, or that is there already, is none. */
static int add(scmp_filter_ctx filter, uint32_t action, int number, unsigned count,
	       const struct scmp_arg_cmp *arguments)
{
	int result = seccomp_rule_add_array(filter, action, number, count, arguments);

	return result == -EEXIST || result == -EDOM || result == -EINVAL ? 0 : result;
}

static int add_by_arguments(scmp_filter_ctx filter, uint64_t capabilities)
{
	static const uint32_t personalities[] = { 0, 8, 0x20000, 0x20008, UINT32_MAX };
	int result = 0;

	for (size_t i = 0; result == 0 && i < sizeof personalities / sizeof personalities[0]; i++)
		result = add(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
			     &SCMP_A0(SCMP_CMP_EQ, personalities[i]));
	/* vsock leads to the VM's monitor, not to a network */
	if (result == 0)
		result = add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
			     &SCMP_A0(SCMP_CMP_NE, AF_VSOCK));
	if (result < 0 || (capabilities & CAP(SYS_ADMIN)))
		return result;
	/* clone3's flags are in memory, out of a filter's reach: it stays unknown (ENOSYS), and C
	 * libraries then use clone */
	return add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		   &SCMP_A0(SCMP_CMP_MASKED_EQ, NEW_NAMESPACES, 0));
}

static int add_call(scmp_filter_ctx filter, const char *name, uint64_t capabilities)
{
	const struct refusal *refusal = find_refusal(name);
	int number = seccomp_syscall_resolve_name(name);

	if (!refusal || (refusal->unless & capabilities))
		return add(filter, SCMP_ACT_ALLOW, number, 0, NULL);
	if (strcmp(name, "clone") == 0 || strcmp(name, "clone3") == 0 ||
	    strcmp(name, "personality") == 0 || strcmp(name, "socket") == 0)
		return 0;
	return add(filter, SCMP_ACT_ERRNO(EPERM), number, 0, NULL);
}

static int add_all(scmp_filter_ctx filter, uint32_t arch, uint64_t capabilities)
{
	for (int number = 0; number <= LAST_SYSCALL; number++) {
		own_mem char *name = seccomp_syscall_resolve_num_arch(arch, number);
		int result = name ? add_call(filter, name, capabilities) : 0;

		if (result < 0)
			return result;
	}
	return 0;
}

/* The 32-bit architecture whose programs run here as well; 0 if there is none. */
static uint32_t narrow_arch(void)
{
	static const uint32_t pairs[][2] = { { SCMP_ARCH_X86_64, SCMP_ARCH_X86 },
					     { SCMP_ARCH_AARCH64, SCMP_ARCH_ARM } };

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		if (pairs[i][0] == seccomp_arch_native())
			return pairs[i][1];
	return 0;
}

static int build(scmp_filter_ctx filter, uint64_t capabilities)
{
	uint32_t narrow = narrow_arch();
	int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);

	if (result == 0) /* an architecture nobody asked for has no calls */
		result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (result == 0 && narrow != 0)
		result = seccomp_arch_add(filter, narrow);
	if (result == 0)
		result = add_by_arguments(filter, capabilities);
	if (result == 0)
		result = add_all(filter, seccomp_arch_native(), capabilities);
	if (result == 0 && narrow != 0)
		result = add_all(filter, narrow, capabilities);
	return result;
}

static int export_program(scmp_filter_ctx filter, void **out, size_t *size)
{
	own_fd fd = (int)SYS(memfd_create, "seccomp", MFD_CLOEXEC);
	own_mem void *bytes = NULL;
	long end;
	int result = fd < 0 ? fd : seccomp_export_bpf(filter, fd);

	if (result < 0)
		return result;
	end = SYS(lseek, fd, 0, SEEK_END);
	if (end <= 0)
		return -EIO;
	bytes = malloc((size_t)end);
	if (!bytes)
		return -ENOMEM;
	result = sys_pread_all(fd, bytes, (size_t)end, 0);
	if (result < 0)
		return result;
	*out = take_ptr(bytes);
	*size = (size_t)end;
	return 0;
}

int syscall_profile_compile(uint64_t capabilities, void **out, size_t *size)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int result;

	if (!filter)
		return -ENOMEM;
	result = build(filter, capabilities);
	if (result == 0)
		result = export_program(filter, out, size);
	seccomp_release(filter);
	return result;
}

#include "agent/identity.h"

#include "agent/kernel.h"
#include "base/sys.h"
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int identity_limit_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} table[] = {
		{ "RLIMIT_AS", RLIMIT_AS },
		{ "RLIMIT_CORE", RLIMIT_CORE },
		{ "RLIMIT_CPU", RLIMIT_CPU },
		{ "RLIMIT_DATA", RLIMIT_DATA },
		{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
		{ "RLIMIT_LOCKS", 10 },
		{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
		{ "RLIMIT_MSGQUEUE", 12 },
		{ "RLIMIT_NICE", 13 },
		{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
		{ "RLIMIT_NPROC", RLIMIT_NPROC },
		{ "RLIMIT_RSS", RLIMIT_RSS },
		{ "RLIMIT_RTPRIO", 14 },
		{ "RLIMIT_RTTIME", 15 },
		{ "RLIMIT_SIGPENDING", 11 },
		{ "RLIMIT_STACK", RLIMIT_STACK },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (strcmp(table[i].name, name) == 0)
			return table[i].number;
	return -1;
}

/* The C libraries differ in the type of the number. */
static int set_limit(int number, const struct rlimit *value)
{
	return (int)SYS(prlimit, 0, (unsigned)number, value, NULL);
}

int identity_set_limits(const message_process *process, struct error *err)
{
	for (size_t i = 0; i < process->n_rlimits; i++) {
		const message_rlimit *limit = process->rlimits[i];
		struct rlimit value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };
		int number = identity_limit_number(limit->type);
		int r = number < 0 ? -EINVAL : set_limit(number, &value);

		if (r < 0)
			return error_set(err, r, "set %s: %s", limit->type, sys_text(r));
	}
	return 0;
}

static bool has(uint64_t set, unsigned capability)
{
	return set >> capability & 1;
}

static int drop_bounding(uint64_t keep)
{
	for (unsigned capability = 0; capability < 64; capability++) {
		int r;

		if (has(keep, capability))
			continue;
		r = (int)SYS(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
		if (r == -EINVAL)
			return 0; /* the kernel knows no more */
		if (r < 0)
			return r;
	}
	return 0;
}

static int raise_ambient(uint64_t wanted)
{
	int r = (int)SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

	for (unsigned capability = 0; r == 0 && capability < 64; capability++)
		if (has(wanted, capability))
			r = (int)SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
	return r;
}

static int become_user(const struct user *user)
{
	int r = (int)SYS(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);

	if (r == 0)
		r = (int)SYS(setgroups, user->group_count, user->groups);
	if (r == 0)
		r = (int)SYS(setresgid, user->gid, user->gid, user->gid);
	if (r == 0)
		r = (int)SYS(setresuid, user->uid, user->uid, user->uid);
	if (r == 0)
		r = (int)SYS(prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0);
	return r;
}

/* The sets the kernel knows: a privileged container asks for all 64 bits. */
static uint64_t known_capabilities(void)
{
	uint64_t known = 0;

	for (unsigned capability = 0; capability < 64; capability++) {
		if (SYS(prctl, PR_CAPBSET_READ, capability, 0, 0, 0) < 0)
			break;
		known |= 1ULL << capability;
	}
	return known;
}

int identity_become(const struct user *user, const message_capabilities *capabilities,
		    struct error *err)
{
	static const message_capabilities none;
	const message_capabilities *wanted = capabilities ? capabilities : &none;
	uint64_t known = known_capabilities();
	int r = drop_bounding(wanted->bounding);

	if (r < 0)
		return error_set(err, r, "drop capabilities: %s", sys_text(r));
	r = become_user(user);
	if (r < 0)
		return error_set(err, r, "become user %u, group %u: %s", user->uid, user->gid,
				 sys_text(r));
	r = kernel_capset(wanted->effective & known, wanted->permitted & known,
			  wanted->inheritable & known);
	if (r == 0)
		r = raise_ambient(wanted->ambient & known);
	return r < 0 ? error_set(err, r, "set capabilities: %s", sys_text(r)) : 0;
}

int identity_filter(const message_process *process, enum identity_when when, struct error *err)
{
	enum identity_when right = process->no_new_privileges ? IDENTITY_LAST : IDENTITY_PRIVILEGED;
	const struct sock_fprog program = {
		.len = (unsigned short)(process->seccomp_bpf.len / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(void *)process->seccomp_bpf.data,
	};
	int r = 0;

	if (when != right)
		return 0;
	if (process->no_new_privileges)
		r = (int)SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (r == 0 && process->seccomp_bpf.len > 0)
		r = kernel_seccomp_filter(process->seccomp_flags, &program);
	return r < 0 ? error_set(err, r, "install the seccomp filter: %s", sys_text(r)) : 0;
}

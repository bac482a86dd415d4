/*
 * As root the server makes files as the guest's user by way of the file system's identity of its
 * thread, which the host checks like any other and which no signal can be sent by. The capability
 * to look past modes is kept meanwhile: whether the user may was judged in the guest, which knows
 * its groups.
 *
 * CAP_FSETID is put aside but for chmod: without it the host takes set-user and set-group bits
 * away when a file is written, truncated or given away, as the guest was told (KILLPRIV_V2).
 */
#include "devices/fs/fs_private.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

static long capget(struct __user_cap_header_struct *header, struct __user_cap_data_struct *data)
{
	return syscall(SYS_capget, header, data);
}

static long capset(struct __user_cap_header_struct *header, struct __user_cap_data_struct *data)
{
	return syscall(SYS_capset, header, data);
}

static void raise_effective(uint32_t add, uint32_t remove)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (SYS(capget, &header, data) < 0)
		return;
	data[0].effective = (data[0].effective | (data[0].permitted & add)) & ~remove;
	(void)SYS(capset, &header, data);
}

void fs_allow_setgid(bool allow)
{
	const uint32_t fsetid = 1U << CAP_FSETID;
	static _Thread_local bool allowed;

	if (allow == allowed)
		return;
	raise_effective(allow ? fsetid : 0, allow ? 0 : fsetid);
	allowed = allow;
}

int fs_become(const struct fs *fs, const struct fs_call *call, struct fs_identity *out)
{
	*out = (struct fs_identity){ 0 };
	if (fs->config.squash || (call->in.uid == fs->uid && call->in.gid == fs->gid))
		return 0;
	out->changed = true;
	(void)setfsgid(call->in.gid);
	(void)setfsuid(call->in.uid);
	/* these two tell nothing but what was before */
	if ((uint32_t)setfsgid((gid_t)-1) != call->in.gid ||
	    (uint32_t)setfsuid((uid_t)-1) != call->in.uid) {
		fs_unbecome(out);
		return -EPERM;
	}
	raise_effective(1U << CAP_DAC_OVERRIDE, 0);
	return 0;
}

void fs_unbecome(const struct fs_identity *identity)
{
	if (!identity->changed)
		return;
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
	raise_effective(0, 1U << CAP_FSETID); /* the way back to root had brought it back */
}

static int host_id(const struct fs *fs, uint32_t guest, uint32_t own, uint32_t *out)
{
	if (fs->config.squash && guest != 0)
		return -EPERM;
	*out = fs->config.squash ? own : guest;
	return 0;
}

int fs_host_uid(const struct fs *fs, uint32_t guest, uid_t *out)
{
	return host_id(fs, guest, fs->uid, out);
}

int fs_host_gid(const struct fs *fs, uint32_t guest, gid_t *out)
{
	return host_id(fs, guest, fs->gid, out);
}

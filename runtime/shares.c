#include "runtime/shares.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool share_is_wanted(const struct mount_flag *flag)
{
	return flag->kind == MOUNT_BIND || flag->kind == MOUNT_VOLUME;
}

/* As mkdir -p. */
static int make_folders(const char *path)
{
	char part[PATH_MAX];
	int result = -ENOENT;

	if (strlen(path) >= sizeof part)
		return -ENAMETOOLONG;
	for (const char *slash = path; slash;) {
		slash = strchr(slash + 1, '/');
		(void)snprintf(part, sizeof part, "%.*s",
			       slash ? (int)(slash - path) : (int)strlen(path), path);
		result = (int)SYS(mkdir, part, 0755);
		if (result < 0 && result != -EEXIST)
			return result;
	}
	return result == -EEXIST ? 0 : result;
}

static int open_host(struct share *share, struct arena *arena, struct error *err)
{
	const char *host = share->flag->source, *slash = strrchr(host, '/');
	struct stat status;
	int r = sys_open(AT_FDCWD, host, O_PATH, 0);

	if (r == -ENOENT && share->flag->make_source) {
		r = make_folders(host);
		if (r == 0)
			r = sys_open(AT_FDCWD, host, O_PATH, 0);
	}
	if (r >= 0) {
		share->fd = r;
		r = (int)SYS(fstat, share->fd, &status);
	}
	if (r < 0)
		return error_set(err, r, "share %.150s: %s", host, sys_text(r));
	if (S_ISREG(status.st_mode))
		share->file_name = arena_text(arena, slash + 1, strlen(slash + 1));
	else if (!S_ISDIR(status.st_mode))
		return error_set(err, -EINVAL,
				 "share %.150s: it is neither a folder nor an ordinary file", host);
	return 0;
}

static int open_volume(struct share *share, const char *root, struct error *err)
{
	int r = volume_open(root, share->flag->source, &share->volume, err);

	if (r < 0)
		return r;
	share->fd = share->volume.fd;
	share->fill = !share->flag->no_copy && !share->flag->read_only &&
		      volume_wants_content(&share->volume);
	return 0;
}

int shares_open(const struct run_config *config, struct arena *arena, struct shares *out,
		struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->mounts.count; i++) {
		const struct mount_flag *flag = &config->mounts.list[i];
		struct share *share = &out->list[out->count];

		if (!share_is_wanted(flag))
			continue;
		if (out->count == VMM_MAX_SHARES)
			return error_set(err, -EINVAL, "--volume: more than %d shares",
					 VMM_MAX_SHARES);
		*share = (struct share){ .flag = flag, .fd = -EBADF, .volume = VOLUME_CLOSED };
		out->count++;
		r = flag->kind == MOUNT_VOLUME ? open_volume(share, config->root, err)
					       : open_host(share, arena, err);
	}
	return r;
}

void shares_filled(struct shares *shares)
{
	for (size_t i = 0; i < shares->count; i++)
		volume_filled(&shares->list[i].volume);
}

void shares_close(struct shares *shares)
{
	for (size_t i = 0; i < shares->count; i++) {
		struct share *share = &shares->list[i];

		if (share->flag->kind == MOUNT_VOLUME)
			volume_close(&share->volume);
		else
			own_fd_release(&share->fd);
	}
	shares->count = 0;
}

static void write_tag(size_t index, char out[VMM_TAG_SIZE])
{
	(void)snprintf(out, VMM_TAG_SIZE, "share-%zu", index);
}

void shares_add(const struct shares *shares, struct vmm_config *vm)
{
	static const enum vmm_cache caches[] = { [MOUNT_CACHE_AUTO] = VMM_CACHE_AUTO,
						 [MOUNT_CACHE_ALWAYS] = VMM_CACHE_ALWAYS,
						 [MOUNT_CACHE_NEVER] = VMM_CACHE_NEVER };

	for (size_t i = 0; i < shares->count; i++) {
		const struct share *from = &shares->list[i];
		struct vmm_share *to = &vm->shares[vm->share_count++];

		to->fd = from->fd;
		to->read_only = from->flag->read_only;
		to->cache = caches[from->flag->cache];
		to->notify = from->flag->notify;
		write_tag(i, to->tag);
		if (from->file_name)
			(void)snprintf(to->file_name, sizeof to->file_name, "%s", from->file_name);
	}
}

const char *shares_source(const struct shares *shares, size_t index, struct arena *arena)
{
	const char *name = shares && index < shares->count ? shares->list[index].file_name : NULL;
	char tag[VMM_TAG_SIZE];

	write_tag(index, tag);
	return arena_print(arena, "%s%s%s", tag, name ? "/" : "", name ? name : "");
}

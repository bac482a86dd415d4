#include "runtime/shares.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
	const char *name;
	enum vmm_cache cache;
} caches[] = {
	{ "cache=auto", VMM_CACHE_AUTO },
	{ "cache=always", VMM_CACHE_ALWAYS },
	{ "cache=never", VMM_CACHE_NEVER },
};

static bool parse_option(const char *word, size_t size, struct run_share *out)
{
	if (size == 2 && (memcmp(word, "ro", 2) == 0 || memcmp(word, "rw", 2) == 0)) {
		out->read_only = word[1] == 'o';
		return true;
	}
	for (size_t i = 0; i < sizeof caches / sizeof *caches; i++)
		if (strlen(caches[i].name) == size && memcmp(word, caches[i].name, size) == 0) {
			out->cache = caches[i].cache;
			return true;
		}
	return false;
}

static int parse_options(const char *value, const char *list, struct run_share *out,
			 struct error *err)
{
	while (*list) {
		size_t size = strcspn(list, ",");

		if (!parse_option(list, size, out))
			return error_set(err, -EINVAL,
					 "--volume %s: the option %.*s is none of ro, rw, "
					 "cache=auto, cache=always, cache=never",
					 value, (int)size, list);
		list += size + (list[size] == ',');
	}
	return 0;
}

static int parse(const char *value, struct arena *arena, struct run_share *out, struct error *err)
{
	const char *colon = strchr(value, ':'), *path = colon ? colon + 1 : "";
	size_t size = strcspn(path, ":");

	if (value[0] != '/' && value[0] != '.')
		return error_set(err, -ENOTSUP,
				 "--volume %s is not in this release: volumes have no names yet, "
				 "give a folder or a file of the host",
				 value);
	if (!colon || value[0] != '/' || path[0] != '/' || size == 1)
		return error_set(err, -EINVAL,
				 "--volume is HOST:PATH[:ro], both absolute and PATH not /, not "
				 "\"%s\"",
				 value);
	out->host = arena_text(arena, value, (size_t)(colon - value));
	out->path = arena_text(arena, path, size);
	return path[size] ? parse_options(value, path + size + 1, out, err) : 0;
}

static int open_host(struct run_share *share, struct arena *arena, struct error *err)
{
	struct stat status;
	const char *slash = strrchr(share->host, '/');
	int r;

	share->fd = sys_open(AT_FDCWD, share->host, O_PATH, 0);
	r = share->fd < 0 ? share->fd : (int)SYS(fstat, share->fd, &status);
	if (r < 0)
		return error_set(err, r, "share %.150s: %s", share->host, sys_text(r));
	if (S_ISREG(status.st_mode))
		share->file_name = arena_text(arena, slash + 1, strlen(slash + 1));
	else if (!S_ISDIR(status.st_mode))
		return error_set(err, -EINVAL,
				 "share %.150s: it is neither a folder nor an ordinary file",
				 share->host);
	return 0;
}

int shares_make(const struct options *options, struct arena *arena, struct run_config *out,
		struct error *err)
{
	const char *value;

	out->shares = arena_alloc(arena, VMM_MAX_SHARES * sizeof *out->shares);
	for (size_t cursor = 0; (value = options_next(options, "volume", &cursor));) {
		struct run_share share = { .fd = -EBADF };
		int r;

		if (out->share_count == VMM_MAX_SHARES)
			return error_set(err, -EINVAL, "--volume: more than %d shares",
					 VMM_MAX_SHARES);
		r = parse(value, arena, &share, err);
		if (r == 0)
			r = open_host(&share, arena, err);
		if (r < 0)
			return r;
		out->shares[out->share_count++] = share;
	}
	return 0;
}

static void write_tag(size_t index, char out[VMM_TAG_SIZE])
{
	(void)snprintf(out, VMM_TAG_SIZE, "share-%zu", index);
}

void shares_add(const struct run_config *config, struct vmm_config *vm)
{
	for (size_t i = 0; i < config->share_count; i++) {
		const struct run_share *from = &config->shares[i];
		struct vmm_share *to = &vm->shares[vm->share_count++];

		to->fd = from->fd;
		to->read_only = from->read_only;
		to->cache = (enum vmm_cache)from->cache;
		write_tag(i, to->tag);
		if (from->file_name)
			(void)snprintf(to->file_name, sizeof to->file_name, "%s", from->file_name);
	}
}

const char *shares_source(const struct run_config *config, size_t index, struct arena *arena)
{
	const char *name = config->shares[index].file_name;
	char tag[VMM_TAG_SIZE];

	write_tag(index, tag);
	return arena_print(arena, "%s%s%s", tag, name ? "/" : "", name ? name : "");
}

/*
 * Nothing formats a disk at run time: two packed templates come with katavm. One already has the
 * usual size, so that the guest has only to mount it; the small one is for every other size, and is
 * grown by the agent to the end of its disk.
 */
#include "runtime/scratch.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/paths.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int make_folders(const char *path)
{
	char copy[PATH_MAX];
	int result = (int)SYS(mkdir, path, 0700);

	if (result != -ENOENT)
		return result == -EEXIST ? 0 : result;
	(void)snprintf(copy, sizeof copy, "%s", path);
	for (char *at = strchr(copy + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		(void)SYS(mkdir, copy, 0755);
		*at = '/';
	}
	result = (int)SYS(mkdir, path, 0700);
	return result == -EEXIST ? 0 : result;
}

static int open_nameless(const char *folder)
{
	char path[PATH_MAX];
	int fd = sys_open(AT_FDCWD, folder, O_TMPFILE | O_RDWR, 0600);

	if (fd == -ENOENT) {
		int result = make_folders(folder);

		if (result < 0)
			return result;
		fd = sys_open(AT_FDCWD, folder, O_TMPFILE | O_RDWR, 0600);
	}
	if (fd >= 0 || (fd != -EOPNOTSUPP && fd != -EISDIR && fd != -EINVAL))
		return fd;
	/* a file system without nameless files */
	if (snprintf(path, sizeof path, "%s/.scratch-XXXXXX", folder) >= (int)sizeof path)
		return -ENAMETOOLONG;
	fd = (int)SYS(mkostemp, path, O_CLOEXEC);
	if (fd >= 0)
		(void)SYS(unlink, path);
	return fd;
}

/* The header says where each of the blocks behind it belongs. */
static int unpack(const struct scratch_header *header, int from, int to)
{
	uint64_t offset = sizeof *header;
	uint8_t buffer[16 * SCRATCH_BLOCK];

	for (uint32_t i = 0; i < header->run_count; i++) {
		uint64_t left = header->runs[i].block_count * SCRATCH_BLOCK;
		uint64_t target = header->runs[i].first_block * SCRATCH_BLOCK;

		while (left > 0) {
			size_t size = left < sizeof buffer ? (size_t)left : sizeof buffer;
			int result = sys_pread_all(from, buffer, size, offset);

			if (result == 0)
				result = sys_pwrite_all(to, buffer, size, target);
			if (result < 0)
				return result;
			offset += size;
			target += size;
			left -= size;
		}
	}
	return 0;
}

/* The template of that size, else the one to be grown to it. */
static int open_template(uint64_t size, struct scratch_header *header, int *out, struct error *err)
{
	static const char *const names[] = { "scratch.ext4", "scratch-small.ext4" };
	char path[PATH_MAX];

	for (size_t i = 0; i < 2; i++) {
		int result = paths_lib(names[i], path, err);
		own_fd fd = result < 0 ? result : sys_open(AT_FDCWD, path, O_RDONLY, 0);

		if (result < 0)
			return result;
		if (fd < 0)
			return error_set(err, fd, "open %.180s: %s", path, sys_text(fd));
		result = sys_pread_all(fd, header, sizeof *header, 0);
		if (result < 0 || header->magic != SCRATCH_MAGIC ||
		    header->run_count > SCRATCH_MAX_RUNS)
			return error_set(err, -EINVAL, "%.180s is not a disk's template", path);
		if (header->disk_size == size || i == 1) {
			*out = take_fd(&fd);
			return 0;
		}
	}
	return -ENOENT;
}

int scratch_open(const char *folder, uint64_t size, int *out_fd, struct error *err)
{
	struct scratch_header header;
	own_fd from = -1;
	own_fd to = -1;
	int result = open_template(size, &header, &from, err);

	if (result < 0)
		return result;
	to = open_nameless(folder);
	if (to < 0)
		return error_set(err, to, "make the writable disk in %.150s: %s", folder,
				 sys_text(to));
	result = (int)SYS(ftruncate, to, (off_t)size);
	if (result == 0)
		result = unpack(&header, from, to);
	if (result < 0)
		return error_set(err, result, "write the writable disk in %.150s: %s", folder,
				 sys_text(result));
	*out_fd = take_fd(&to);
	return 0;
}

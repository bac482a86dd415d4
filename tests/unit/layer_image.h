#pragma once
/* For tests of layers: tars become an image in memory, which is looked at with a reader of its own.
 */
#include "base/own.h"
#include "erofs_reader.h"
#include "runtime/layer/pack.h"
#include "tar_writer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct error err;

static inline int pack_to(struct view *image, const struct tarball *tars, size_t count, bool bottom,
			  size_t step)
{
	struct tarball_source from = { .tars = tars, .count = count, .step = step };
	struct tar_source source = { .next = tarball_next, .context = &from };
	struct pack_options options = { .layer_count = (unsigned)count,
					.bottom = bottom,
					.max_entries = 1 << 20 };
	struct pack_result result;
	own_fd fd = memfd_create("image", MFD_CLOEXEC);
	unsigned layer = 99;
	int r = pack_layers(&source, &options, fd, &layer, &result, &err);

	cr_assert_lt(layer, count);
	if (r < 0)
		return r;
	view_load(image, fd);
	view_check(image);
	cr_assert_eq(result.image_bytes, image->size);
	return 0;
}

static inline void pack(struct view *image, const struct tarball *tars, size_t count, bool bottom)
{
	int r = pack_to(image, tars, count, bottom, 0);

	cr_assert_eq(r, 0, "%s", err.text);
}

static inline bool has(const struct view *image, const char *path)
{
	struct view_inode inode;

	return view_find(image, path, &inode);
}

static inline struct view_inode inode_of(const struct view *image, const char *path)
{
	struct view_inode inode = { 0 };

	cr_assert(view_find(image, path, &inode), "%s", path);
	return inode;
}

static inline void assert_content(const struct view *image, const char *path, const char *expected)
{
	struct view_inode inode = inode_of(image, path);
	char text[256] = { 0 };

	cr_assert_eq(inode.disk.size, strlen(expected), "%s", path);
	view_read(image, &inode, 0, text, (size_t)inode.disk.size);
	cr_assert_str_eq(text, expected);
}

static inline bool is_whiteout(const struct view *image, const char *path)
{
	struct view_inode inode = inode_of(image, path);

	return S_ISCHR(inode.disk.mode) && inode.disk.where == 0;
}

static inline bool is_opaque(const struct view *image, const char *path)
{
	struct view_inode inode = inode_of(image, path);
	size_t size;
	const char *value = view_xattr(image, &inode, 4, "overlay.opaque", &size);

	return value && size == 1 && *value == 'y';
}

static inline void refuse(struct tarball *tar, int code, const char *sentence)
{
	struct view image = { 0 };
	int r;

	tarball_end(tar);
	r = pack_to(&image, tar, 1, false, 0);
	cr_assert_eq(r, code, "%d %s", r, err.text);
	cr_assert(strstr(err.text, sentence), "%s", err.text);
	tarball_finish(tar);
}

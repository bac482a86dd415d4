#include "base/check.h"
#include "runtime/erofs/writer.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int erofs_meta_flush(struct erofs_writer *writer)
{
	struct erofs_meta *meta = &writer->meta;
	uint64_t position = (uint64_t)meta->first * EROFS_BLOCK;
	size_t size = (size_t)meta->count * EROFS_BLOCK;

	if (!meta->count)
		return 0;
	return erofs_output_write(&writer->out, position, meta->bytes, size);
}

static int next_group(struct erofs_writer *writer)
{
	struct erofs_meta *meta = &writer->meta;
	uint32_t count = meta->count ? meta->count * 2 : 1, first = 0;
	int r = erofs_meta_flush(writer);

	if (count > EROFS_GROUP_MAX)
		count = EROFS_GROUP_MAX;
	if (r == 0)
		r = erofs_output_alloc(&writer->out, count, &first);
	if (r < 0)
		return r;
	memset(meta, 0, sizeof *meta);
	meta->first = first;
	meta->count = count;
	return 0;
}

static bool fits(struct erofs_meta *meta, size_t size, uint64_t *position)
{
	for (uint32_t i = 0; i < meta->count; i++) {
		if (meta->used[i] + size > EROFS_BLOCK)
			continue;
		*position = ((uint64_t)meta->first + i) * EROFS_BLOCK + meta->used[i];
		meta->used[i] += ((uint32_t)size + EROFS_SLOT - 1) / EROFS_SLOT * EROFS_SLOT;
		return true;
	}
	return false;
}

int erofs_meta_reserve(struct erofs_writer *writer, size_t size, uint64_t *position)
{
	uint32_t block;
	int r;

	if (size > EROFS_BLOCK) { /* many xattrs or chunks: blocks of their own */
		r = erofs_output_alloc(&writer->out, erofs_blocks(size), &block);
		if (r == 0)
			*position = (uint64_t)block * EROFS_BLOCK;
		return r;
	}
	if (fits(&writer->meta, size, position))
		return 0;
	r = next_group(writer);
	if (r < 0)
		return r;
	CHECK(fits(&writer->meta, size, position));
	return 0;
}

int erofs_meta_write(struct erofs_writer *writer, uint64_t position, const void *data, size_t size)
{
	struct erofs_meta *meta = &writer->meta;
	uint64_t start = (uint64_t)meta->first * EROFS_BLOCK;

	if (position < EROFS_BLOCK) {
		CHECK(size <= EROFS_BLOCK - position);
		memcpy(writer->block0 + position, data, size);
		return 0;
	}
	if (position < start || position - start >= (uint64_t)meta->count * EROFS_BLOCK)
		return erofs_output_write(&writer->out, position, data, size);
	CHECK(size <= (uint64_t)meta->count * EROFS_BLOCK - (position - start));
	memcpy(meta->bytes + (position - start), data, size);
	return 0;
}

int erofs_inode_write(struct erofs_writer *writer, uint64_t position, const struct erofs_attr *attr,
		      enum erofs_layout layout, uint64_t size, uint32_t where)
{
	size_t xattr_size = erofs_xattr_size(attr);
	struct erofs_disk_inode inode = {
		.format = htole16((uint16_t)(1 | (unsigned)layout << 1)),
		.mode = htole16((uint16_t)attr->mode),
		.size = htole64(size),
		.where = htole32(where),
		.ino32 = htole32((uint32_t)(position / EROFS_SLOT)),
		.uid = htole32(attr->uid),
		.gid = htole32(attr->gid),
		.mtime = (int64_t)htole64((uint64_t)attr->mtime),
		.mtime_ns = htole32(attr->mtime_ns),
		.nlink = htole32(attr->nlink),
	};
	int r;

	if (xattr_size)
		inode.xattr_words =
		    htole16((uint16_t)(1 + (xattr_size - sizeof(struct erofs_disk_xattrs)) / 4));
	r = erofs_meta_write(writer, position, &inode, sizeof inode);
	if (r == 0 && xattr_size)
		r = erofs_meta_write(writer, position + sizeof inode, attr->xattrs->data,
				     xattr_size);
	return r;
}

int erofs_set_nlink(struct erofs_writer *writer, uint64_t nid, uint32_t nlink)
{
	uint32_t value = htole32(nlink);

	return erofs_meta_write(writer, nid * EROFS_SLOT + offsetof(struct erofs_disk_inode, nlink),
				&value, sizeof value);
}

uint32_t erofs_rdev(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

int erofs_node(struct erofs_writer *writer, const struct erofs_attr *attr, const void *content,
	       size_t size, struct erofs_place *out)
{
	bool is_device = S_ISCHR(attr->mode) || S_ISBLK(attr->mode);
	size_t beside = erofs_inline_size(attr, size, EROFS_BLOCK);
	struct erofs_place place = { 0 };
	uint64_t position = 0;
	int r;

	CHECK(size < EROFS_BLOCK);
	r = erofs_meta_reserve(writer, erofs_inode_size(attr) + beside, &position);
	if (r == 0 && beside != size) {
		r = erofs_output_alloc(&writer->out, 1, &place.block);
		place.blocks = 1;
		if (r == 0)
			r = erofs_output_write(&writer->out, (uint64_t)place.block * EROFS_BLOCK,
					       content, size);
	}
	if (r == 0)
		r = erofs_inode_write(writer, position, attr,
				      beside ? EROFS_LAYOUT_INLINE : EROFS_LAYOUT_PLAIN, size,
				      is_device ? attr->rdev : place.block);
	if (r == 0 && beside)
		r = erofs_meta_write(writer, position + erofs_inode_size(attr), content, beside);
	if (r < 0)
		return r;
	place.nid = position / EROFS_SLOT;
	*out = place;
	return 0;
}

#include "base/check.h"
#include "runtime/erofs/writer.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The guest's kernel looks names up by bisection, so this order is part of the format. */
int erofs_entry_compare(const struct erofs_entry *a, const struct erofs_entry *b)
{
	size_t size = a->name_size < b->name_size ? a->name_size : b->name_size;
	int r = memcmp(a->name, b->name, size);

	return r ? r : (int)a->name_size - (int)b->name_size;
}

static uint8_t type_number(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 1;
	case S_IFDIR:
		return 2;
	case S_IFCHR:
		return 3;
	case S_IFBLK:
		return 4;
	case S_IFIFO:
		return 5;
	case S_IFSOCK:
		return 6;
	case S_IFLNK:
		return 7;
	default:
		return 0;
	}
}

/* How many of the entries share a block, and the bytes they use. */
static size_t block_entries(const struct erofs_entry *entries, size_t count, size_t *used)
{
	size_t n = 0, size = 0;

	while (n < count) {
		size_t more = sizeof(struct erofs_disk_entry) + entries[n].name_size;

		if (size + more > EROFS_BLOCK)
			break;
		size += more;
		n++;
	}
	*used = size;
	return n;
}

static uint64_t content_size(const struct erofs_entry *entries, size_t count)
{
	uint64_t size = 0;
	size_t used = 0;

	while (count) {
		size_t n = block_entries(entries, count, &used);

		entries += n;
		count -= n;
		size += count ? EROFS_BLOCK : used;
	}
	return size;
}

static void fill_block(const struct erofs_entry *entries, size_t count, uint8_t *block)
{
	size_t name = count * sizeof(struct erofs_disk_entry);

	memset(block, 0, EROFS_BLOCK);
	for (size_t i = 0; i < count; i++) {
		struct erofs_disk_entry entry = {
			.nid = htole64(entries[i].nid),
			.name_offset = htole16((uint16_t)name),
			.type = type_number(entries[i].mode),
		};

		memcpy(block + i * sizeof entry, &entry, sizeof entry);
		memcpy(block + name, entries[i].name, entries[i].name_size);
		name += entries[i].name_size;
	}
}

static size_t room(uint64_t position)
{
	return position == EROFS_ROOT_POSITION ? EROFS_ROOT_ROOM : EROFS_BLOCK;
}

int erofs_dir_reserve(struct erofs_writer *writer, const struct erofs_attr *attr,
		      const struct erofs_entry *entries, size_t count, int at_root,
		      struct erofs_place *out)
{
	uint64_t size = content_size(entries, count), position = EROFS_ROOT_POSITION;
	size_t beside = erofs_inline_size(attr, size, at_root ? EROFS_ROOT_ROOM : EROFS_BLOCK);
	struct erofs_place place = { 0 };
	int r = 0;

	if (at_root && erofs_inode_size(attr) > EROFS_ROOT_ROOM)
		return -E2BIG;
	if (!at_root)
		r = erofs_meta_reserve(writer, erofs_inode_size(attr) + beside, &position);
	place.blocks = (uint32_t)erofs_blocks(size - beside);
	if (r == 0 && place.blocks)
		r = erofs_output_alloc(&writer->out, place.blocks, &place.block);
	if (r < 0)
		return r;
	place.nid = position / EROFS_SLOT;
	*out = place;
	return 0;
}

int erofs_dir_write(struct erofs_writer *writer, const struct erofs_attr *attr,
		    const struct erofs_entry *entries, size_t count,
		    const struct erofs_place *place)
{
	uint64_t position = place->nid * EROFS_SLOT, size = content_size(entries, count);
	size_t beside = erofs_inline_size(attr, size, room(position)), used;
	uint8_t block[EROFS_BLOCK];
	int r = erofs_inode_write(writer, position, attr,
				  beside ? EROFS_LAYOUT_INLINE : EROFS_LAYOUT_PLAIN, size,
				  place->block);

	CHECK(erofs_blocks(size - beside) == place->blocks);
	for (uint64_t i = 0; r == 0 && count; i++) {
		size_t n = block_entries(entries, count, &used);

		fill_block(entries, n, block);
		if (i < place->blocks)
			r = erofs_output_write(&writer->out, (place->block + i) * EROFS_BLOCK,
					       block, sizeof block);
		else
			r = erofs_meta_write(writer, position + erofs_inode_size(attr), block,
					     beside);
		entries += n;
		count -= n;
	}
	return r;
}

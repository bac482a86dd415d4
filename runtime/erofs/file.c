/*
 * A regular file's content, while it streams in.
 *
 * Files of less than 64 KiB are flat: whole blocks, allocated at once, and a tail beside the inode
 * when it fits there. Longer files are looked at in chunks. A chunk gets its blocks when the first
 * byte in it is not zero; one without such a byte is a hole. As long as there is no hole the chunks
 * follow each other and the file can be flat after all; with the first hole it needs a map of
 * chunks, which is written behind the inode. Chunks grow with the file, so that the map stays below
 * 4 MiB whatever size a tar claims.
 */
#include "base/check.h"
#include "runtime/erofs/writer.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BITS_MIN = 16, CHUNK_BITS_MAX = EROFS_BLOCK_BITS + 31, MAP_MAX = 1 << 20 };

static uint64_t chunk_size(const struct erofs_file *file)
{
	return UINT64_C(1) << file->chunk_bits;
}

static uint64_t chunk_count(const struct erofs_file *file)
{
	return (file->size >> file->chunk_bits) + (file->size % chunk_size(file) != 0);
}

int erofs_file_begin(struct erofs_writer *writer, const struct erofs_attr *attr, uint64_t size)
{
	struct erofs_file *file = &writer->file;

	CHECK(!file->attr);
	*file = (struct erofs_file){ .attr = attr, .size = size, .inline_start = size };
	if (size < UINT64_C(1) << CHUNK_BITS_MIN) {
		file->inline_start = size - erofs_inline_size(attr, size, EROFS_BLOCK);
		file->blocks = (uint32_t)erofs_blocks(file->inline_start);
		if (!file->blocks)
			return 0;
		return erofs_output_alloc(&writer->out, file->blocks, &file->first);
	}
	file->chunk_bits = CHUNK_BITS_MIN;
	while (chunk_count(file) > MAP_MAX && file->chunk_bits < CHUNK_BITS_MAX)
		file->chunk_bits++;
	return chunk_count(file) > MAP_MAX ? -EFBIG : 0;
}

/* The first hole: from now on every chunk is told in the map. */
static int begin_map(struct erofs_file *file)
{
	uint64_t count = chunk_count(file);

	file->map = malloc(count * sizeof *file->map);
	if (!file->map)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t block = file->first + (i << (file->chunk_bits - EROFS_BLOCK_BITS));

		file->map[i] = i < file->chunk ? htole32((uint32_t)block) : EROFS_HOLE_BLOCK;
	}
	return 0;
}

/* Goes on to a later chunk; those in between are holes. */
static int go_to_chunk(struct erofs_file *file, uint64_t chunk)
{
	while (file->chunk < chunk) {
		if (!file->has_block && !file->map) {
			int r = begin_map(file);

			if (r < 0)
				return r;
		}
		if (file->map) {
			if (file->has_block)
				file->map[file->chunk] = htole32(file->chunk_block);
			file->chunk = file->has_block ? file->chunk + 1 : chunk;
		} else {
			file->chunk++;
		}
		file->has_block = false;
	}
	return 0;
}

static int alloc_chunk(struct erofs_writer *writer)
{
	struct erofs_file *file = &writer->file;
	uint64_t left = file->size - (file->chunk << file->chunk_bits);
	uint64_t blocks = erofs_blocks(left < chunk_size(file) ? left : chunk_size(file));
	int r = erofs_output_alloc(&writer->out, blocks, &file->chunk_block);

	if (r < 0)
		return r;
	if (file->chunk == 0)
		file->first = file->chunk_block;
	file->blocks += (uint32_t)blocks;
	file->has_block = true;
	return 0;
}

static bool is_zero(const uint8_t *data, size_t size)
{
	return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

/* size bytes of one chunk. */
static int write_chunk(struct erofs_writer *writer, uint64_t offset, const uint8_t *data,
		       size_t size)
{
	struct erofs_file *file = &writer->file;
	uint64_t in_chunk = offset % chunk_size(file);
	int r = go_to_chunk(file, offset >> file->chunk_bits);

	if (r < 0)
		return r;
	if (!file->has_block) {
		if (is_zero(data, size))
			return 0;
		r = alloc_chunk(writer);
		if (r < 0)
			return r;
	}
	return erofs_output_write(&writer->out,
				  (uint64_t)file->chunk_block * EROFS_BLOCK + in_chunk, data, size);
}

static int write_flat(struct erofs_writer *writer, uint64_t offset, const uint8_t *data,
		      size_t size)
{
	struct erofs_file *file = &writer->file;
	size_t out = 0;
	int r = 0;

	if (offset < file->inline_start) {
		uint64_t left = file->inline_start - offset;

		out = left < size ? (size_t)left : size;
		r = erofs_output_write(&writer->out, (uint64_t)file->first * EROFS_BLOCK + offset,
				       data, out);
	}
	if (size > out)
		memcpy(file->tail + (offset + out - file->inline_start), data + out, size - out);
	return r;
}

int erofs_file_write(struct erofs_writer *writer, uint64_t offset, const void *data, size_t size)
{
	struct erofs_file *file = &writer->file;
	const uint8_t *from = data;
	int r = 0;

	CHECK(file->attr && offset <= file->size && size <= file->size - offset);
	if (!file->chunk_bits)
		return size ? write_flat(writer, offset, from, size) : 0;
	while (r == 0 && size) {
		uint64_t left = chunk_size(file) - offset % chunk_size(file);
		size_t n = left < size ? (size_t)left : size;

		r = write_chunk(writer, offset, from, n);
		offset += n;
		from += n;
		size -= n;
	}
	return r;
}

/* inode, xattrs, and the tail or the map. */
static int write_inode(struct erofs_writer *writer, const void *behind, size_t behind_size,
		       enum erofs_layout layout, uint32_t where, uint64_t *position)
{
	struct erofs_file *file = &writer->file;
	size_t inode_size = erofs_inode_size(file->attr);
	int r = erofs_meta_reserve(writer, inode_size + behind_size, position);

	if (r == 0)
		r = erofs_inode_write(writer, *position, file->attr, layout, file->size, where);
	if (r == 0 && behind_size)
		r = erofs_meta_write(writer, *position + inode_size, behind, behind_size);
	return r;
}

static int end_file(struct erofs_writer *writer, struct erofs_place *out)
{
	struct erofs_file *file = &writer->file;
	struct erofs_place place = { .block = file->first, .blocks = file->blocks };
	size_t tail = (size_t)(file->size - file->inline_start);
	uint64_t position;
	int r = 0;

	if (file->chunk_bits)
		r = go_to_chunk(file, chunk_count(file));
	if (r < 0)
		return r;
	if (file->map) {
		uint32_t format = file->chunk_bits - EROFS_BLOCK_BITS;

		place = (struct erofs_place){ 0 };
		writer->has_chunks = true;
		r = write_inode(writer, file->map, chunk_count(file) * sizeof *file->map,
				EROFS_LAYOUT_CHUNKS, format, &position);
	} else {
		r = write_inode(writer, file->tail, tail,
				tail ? EROFS_LAYOUT_INLINE : EROFS_LAYOUT_PLAIN, file->first,
				&position);
	}
	if (r < 0)
		return r;
	place.nid = position / EROFS_SLOT;
	*out = place;
	return 0;
}

int erofs_file_end(struct erofs_writer *writer, struct erofs_place *out)
{
	struct erofs_file *file = &writer->file;
	int r;

	CHECK(file->attr);
	r = end_file(writer, out);
	free(file->map);
	file->map = NULL;
	file->attr = NULL;
	return r;
}

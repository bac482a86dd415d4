#pragma once
#include "runtime/erofs/erofs.h"
#include "runtime/erofs/format.h"

#include <stdbool.h>

/* Private to runtime/erofs/. */

/* Blocks are handed out front to back; bytes are gathered here while they follow each other. */
struct erofs_output {
	int fd;
	uint64_t next_block;
	uint64_t frontier; /* nothing was ever written from here on */
	uint64_t start;    /* file position of buffer[0] */
	size_t size;
	uint8_t *buffer;
};

int erofs_output_init(struct erofs_output *out, int fd);
void erofs_output_finish(struct erofs_output *out);
int erofs_output_alloc(struct erofs_output *out, uint64_t blocks, uint32_t *first);
int erofs_output_write(struct erofs_output *out, uint64_t position, const void *data, size_t size);
int erofs_output_flush(struct erofs_output *out);

/* The metadata blocks that still have room. Inodes, with their xattrs and short content, are put in
 * the first one they fit in; when none fits, all are written and a new group is begun. Groups grow,
 * so that small images stay small and the metadata of large ones stays together. */
enum { EROFS_GROUP_MAX = 16 };
struct erofs_meta {
	uint32_t first, count; /* blocks of the group; 0 before the first */
	uint32_t used[EROFS_GROUP_MAX];
	uint8_t bytes[EROFS_GROUP_MAX * EROFS_BLOCK];
};

/* The file being written. */
struct erofs_file {
	const struct erofs_attr *attr;
	uint64_t size;
	uint32_t first;        /* block of the content, as long as it is contiguous */
	uint32_t blocks;       /* allocated so far */
	uint64_t inline_start; /* what lies behind this offset goes beside the inode */
	unsigned chunk_bits;   /* 0: too small to have holes */
	uint64_t chunk;        /* number of the chunk that is being written */
	bool has_block;        /* something in it was not zero */
	uint32_t chunk_block;
	uint32_t *map; /* one per chunk, little endian; NULL while there is no hole */
	uint8_t tail[EROFS_BLOCK];
};

struct erofs_writer {
	struct erofs_output out;
	struct erofs_meta meta;
	struct erofs_file file;
	bool has_chunks;
	uint8_t uuid[16];
	char label[EROFS_LABEL_SIZE];
	uint8_t block0[EROFS_BLOCK]; /* superblock and root inode */
};

enum {
	EROFS_ROOT_POSITION = EROFS_SUPER_OFFSET + sizeof(struct erofs_disk_super),
	EROFS_ROOT_ROOM = EROFS_BLOCK - EROFS_ROOT_POSITION,
};

struct erofs_part {
	const void *data;
	size_t size;
};

/* A node's inode, xattrs and what follows them, in one piece. Returns its position. */
int erofs_meta_reserve(struct erofs_writer *writer, size_t size, uint64_t *position);
int erofs_meta_write(struct erofs_writer *writer, uint64_t position, const void *data, size_t size);
int erofs_meta_flush(struct erofs_writer *writer);

static inline uint64_t erofs_blocks(uint64_t bytes)
{
	return bytes / EROFS_BLOCK + (bytes % EROFS_BLOCK != 0);
}

static inline size_t erofs_xattr_size(const struct erofs_attr *attr)
{
	return attr->xattrs ? attr->xattrs->size : 0;
}

/* Bytes of inode and xattrs. */
static inline size_t erofs_inode_size(const struct erofs_attr *attr)
{
	return sizeof(struct erofs_disk_inode) + erofs_xattr_size(attr);
}

/* The part of size that goes beside an inode that has `room` bytes to its block's end. */
static inline size_t erofs_inline_size(const struct erofs_attr *attr, uint64_t size, size_t room)
{
	size_t tail = size % EROFS_BLOCK;

	return erofs_inode_size(attr) + tail <= room ? tail : 0;
}

/* Writes inode and xattrs at position; where is the inode's field of that name. */
int erofs_inode_write(struct erofs_writer *writer, uint64_t position, const struct erofs_attr *attr,
		      enum erofs_layout layout, uint64_t size, uint32_t where);

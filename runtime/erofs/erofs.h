#pragma once
#include <stddef.h>
#include <stdint.h>

/*
 * Writes an uncompressed EROFS image into an empty file, front to back: a file's content and inode
 * go out while the caller reads it, directories at the end. Memory does not grow with the content.
 * The same calls give the same bytes. Every function returns 0 or -errno; -EFBIG means that the
 * image outgrew the format. Not thread-safe.
 */
struct erofs_writer;

struct erofs_xattrs { /* encoded for the disk; zero-initialised, ended by erofs_xattrs_finish */
	uint8_t *data;
	size_t size;
};

struct erofs_attr {
	uint32_t mode; /* type and permission bits */
	uint32_t uid, gid;
	uint32_t nlink;
	uint32_t rdev; /* as erofs_rdev() makes it; character and block devices only */
	uint32_t mtime_ns;
	int64_t mtime;
	const struct erofs_xattrs *xattrs; /* borrowed for the call; NULL for none */
};

/* Where an inode is, and the blocks of its content that nothing else uses. */
struct erofs_place {
	uint64_t nid;
	uint32_t block, blocks;
};

struct erofs_entry {
	const char *name; /* not terminated */
	uint8_t name_size;
	uint32_t mode;
	uint64_t nid;
};

int erofs_create(int fd, const uint8_t uuid[16], struct erofs_writer **out);
void erofs_destroy(struct erofs_writer *writer); /* accepts NULL; finishes nothing */

/* A regular file: begin, any number of writes at rising offsets inside size, end. What is not
 * written reads as zeros and is not stored where it is long enough. attr is kept by the caller
 * until the end. One file at a time, and no other node meanwhile. */
int erofs_file_begin(struct erofs_writer *writer, const struct erofs_attr *attr, uint64_t size);
int erofs_file_write(struct erofs_writer *writer, uint64_t offset, const void *data, size_t size);
int erofs_file_end(struct erofs_writer *writer, struct erofs_place *out);

/* A symbolic link (content is its target, 1 to 4095 bytes), device, FIFO or socket. */
int erofs_node(struct erofs_writer *writer, const struct erofs_attr *attr, const void *content,
	       size_t size, struct erofs_place *out);

/* A directory's number is needed by its children and theirs by it, so: reserve all, then write all.
 * entries contain "." and ".." and are in erofs_entry_compare order; reserve looks at the names
 * only. The root is reserved with at_root, first of all directories. */
int erofs_entry_compare(const struct erofs_entry *a, const struct erofs_entry *b);
int erofs_dir_reserve(struct erofs_writer *writer, const struct erofs_attr *attr,
		      const struct erofs_entry *entries, size_t count, int at_root,
		      struct erofs_place *out);
int erofs_dir_write(struct erofs_writer *writer, const struct erofs_attr *attr,
		    const struct erofs_entry *entries, size_t count,
		    const struct erofs_place *place);

/* Corrects an inode that was written before all of its names were known. */
int erofs_set_nlink(struct erofs_writer *writer, uint64_t nid, uint32_t nlink);
/* Nothing names this inode any more: its content becomes a hole in the file, where possible. */
void erofs_discard(struct erofs_writer *writer, const struct erofs_place *place);

/* A word of at most 16 bytes in the superblock, for whoever opens the image later; "" unless set.
 */
enum { EROFS_LABEL_SIZE = 17 };
void erofs_set_label(struct erofs_writer *writer, const char *label);
int erofs_read_label(int fd, char out[EROFS_LABEL_SIZE]);

/* Writes the superblock and sets the file's size, which is returned in *size. */
int erofs_finish(struct erofs_writer *writer, uint64_t inodes, uint64_t *size);

/* -EOPNOTSUPP: the name's namespace has no place in EROFS; -E2BIG: more than 64 KiB in all. */
int erofs_xattrs_add(struct erofs_xattrs *xattrs, const char *name, size_t name_size,
		     const void *value, size_t value_size);
void erofs_xattrs_finish(struct erofs_xattrs *xattrs);

uint32_t erofs_rdev(uint32_t major, uint32_t minor); /* 12 and 20 bits */

#pragma once
#include <stdint.h>

/* EROFS on disk: only what an uncompressed, single-device image needs. All numbers are little
 * endian. A node's number (nid) is its byte position divided by EROFS_SLOT. */
enum {
	EROFS_BLOCK = 4096,
	EROFS_BLOCK_BITS = 12,
	EROFS_SLOT = 32,
	EROFS_SUPER_OFFSET = 1024,
	EROFS_NAME_MAX = 255,
	EROFS_COMPAT_CHECKSUM = 1,
	EROFS_COMPAT_MTIME = 2,
	EROFS_INCOMPAT_CHUNKS = 4,
};
#define EROFS_MAGIC      0xE0F5E1E2u
#define EROFS_HOLE_BLOCK 0xFFFFFFFFu /* a chunk that reads as zeros and is stored nowhere */

struct erofs_disk_super {
	uint32_t magic;
	uint32_t checksum; /* crc32c from here to the end of the block, this field being 0 */
	uint32_t feature_compat;
	uint8_t block_bits;
	uint8_t extension_slots;
	uint16_t root_nid; /* 16 bits: the root must live near the start */
	uint64_t inodes;
	uint64_t build_time;
	uint32_t build_time_ns;
	uint32_t blocks;
	uint32_t meta_block;
	uint32_t xattr_block;
	uint8_t uuid[16];
	uint8_t volume_name[16];
	uint32_t feature_incompat;
	uint8_t unused[44];
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_disk_super) == 128, "superblock");

/* format: bit 0 is set (64-byte inode), bits 1 to 3 are the layout. */
enum erofs_layout { EROFS_LAYOUT_PLAIN = 0, EROFS_LAYOUT_INLINE = 2, EROFS_LAYOUT_CHUNKS = 4 };

struct erofs_disk_inode {
	uint16_t format;
	uint16_t xattr_words; /* 0, or 1 + (bytes of xattrs - 12) / 4 */
	uint16_t mode;
	uint16_t reserved;
	uint64_t size;
	uint32_t where; /* first block, device number, or chunk format, by type and layout */
	uint32_t ino32;
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
	uint32_t nlink;
	uint8_t unused[16];
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_disk_inode) == 64, "inode");

/* A block of a directory: entries, then their names in the same order. The first name's position
 * tells how many entries there are. Entries are sorted by name across the whole directory. */
struct erofs_disk_entry {
	uint64_t nid;
	uint16_t name_offset;
	uint8_t type;
	uint8_t reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_disk_entry) == 12, "directory entry");

/* Extended attributes follow their inode: this header, then entries padded to 4 bytes. */
struct erofs_disk_xattrs {
	uint32_t name_filter;
	uint8_t shared_count;
	uint8_t reserved[7];
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_disk_xattrs) == 12, "xattr header");

struct erofs_disk_xattr {
	uint8_t name_size; /* without the prefix that `prefix` stands for */
	uint8_t prefix;
	uint16_t value_size;
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_disk_xattr) == 4, "xattr entry");

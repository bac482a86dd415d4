#pragma once
#include "runtime/layer/tar.h"

/* Private to tar.c, tar_pax.c and tar_sparse.c. */

enum {
	TAR_MAX_PATH = 4096,      /* with its end */
	TAR_MAX_HEADER = 1 << 20, /* of PAX records; xattrs are at most 64 KiB */
	TAR_MAX_PIECES = 1 << 20, /* of a sparse file */
};
#define TAR_MAX_SIZE (UINT64_C(1) << 44) /* of a file: what ext4 can hold too */

struct tar_header { /* one block of the stream */
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[8]; /* "ustar" 0 "00", or GNU's "ustar  " 0 */
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char rest[167]; /* ustar: prefix[155]; GNU: from byte 386 on the sparse map */
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "tar header");

struct tar_piece { /* of a sparse file */
	uint64_t offset, size;
};

/* What PAX records say of the entry that follows them; they win over its header. */
struct tar_pax {
	char *records; /* owned; names and values point into it */
	const char *path, *link;
	bool has_size, has_uid, has_gid, has_mtime;
	uint64_t size;
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
	struct tar_xattr xattrs[TAR_MAX_XATTRS];
	size_t xattr_count;
	/* GNU sparse: 0.0 (offset, numbytes), 0.1 (map), 1.0 (major; the map opens the content) */
	bool is_sparse, has_real_size;
	unsigned sparse_major;
	uint64_t real_size;
	const char *sparse_name;
};

struct tar {
	struct tar_source source;
	const uint8_t *piece; /* what is left of the source's piece */
	size_t piece_size;
	struct tar_pax pax;
	char *long_path, *long_link; /* GNU; owned */
	char path[TAR_MAX_PATH], link[TAR_MAX_PATH];
	uint64_t left;    /* stored bytes of the content not yet read */
	uint64_t padding; /* behind them */
	uint64_t offset;  /* in the file, of the next byte read */
	uint64_t size;    /* of the file, holes included */
	bool is_sparse;
	struct tar_piece *pieces; /* owned */
	size_t piece_count, piece_room, piece_next;
	uint64_t piece_left; /* of the current one */
};

/* Exactly size bytes; -EBADMSG if the stream ends before. */
int tar_read(struct tar *tar, void *to, size_t size, struct error *err);

/* Adds the records of one extended header (size bytes in text, which it takes over; a zero
 * follows). */
int tar_pax_parse(struct tar_pax *pax, struct tar *tar, char *text, size_t size, struct error *err);
void tar_pax_reset(struct tar_pax *pax);
/* Decimal digits from *text up to `stop`, which is stepped over. */
bool tar_pax_number(const char **text, char stop, uint64_t *out);

int tar_sparse_add(struct tar *tar, uint64_t offset, uint64_t size, struct error *err);
int tar_sparse_map(struct tar *tar, const char *text, struct error *err); /* "offset,size,…" */
int tar_sparse_gnu(struct tar *tar, const struct tar_header *header, struct error *err);
int tar_sparse_in_content(struct tar *tar, struct error *err);
/* The pieces must rise, lie inside the file and make up what is stored. */
int tar_sparse_check(const struct tar *tar, struct error *err);

/* An octal or base-256 field. */
bool tar_number(const char *field, size_t size, int64_t *out);

#include "runtime/layer/tar_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int tar_open(const struct tar_source *source, struct tar **out)
{
	struct tar *tar = calloc(1, sizeof *tar);

	if (!tar)
		return -ENOMEM;
	tar->source = *source;
	*out = tar;
	return 0;
}

void tar_close(struct tar *tar)
{
	if (!tar)
		return;
	tar_pax_reset(&tar->pax);
	free(tar->long_path);
	free(tar->long_link);
	free(tar->pieces);
	free(tar);
}

/* Makes sure that the piece has something; 1, 0 at the end of the stream, or -errno. */
static int fill(struct tar *tar, struct error *err)
{
	if (tar->piece_size)
		return 1;
	return tar->source.next(tar->source.context, &tar->piece, &tar->piece_size, err);
}

/* The next at most `max` bytes, where they are. */
static int take(struct tar *tar, uint64_t max, const uint8_t **data, size_t *size,
		struct error *err)
{
	int r = fill(tar, err);

	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, -EBADMSG, "the tar ends too early");
	*size = tar->piece_size < max ? tar->piece_size : (size_t)max;
	*data = tar->piece;
	tar->piece += *size;
	tar->piece_size -= *size;
	return 1;
}

int tar_read(struct tar *tar, void *to, size_t size, struct error *err)
{
	uint8_t *at = to;

	while (size) {
		const uint8_t *data = NULL;
		size_t n = 0;
		int r = take(tar, size, &data, &n, err);

		if (r < 0)
			return r;
		memcpy(at, data, n);
		at += n;
		size -= n;
	}
	return 0;
}

static int skip(struct tar *tar, uint64_t size, struct error *err)
{
	while (size) {
		const uint8_t *data = NULL;
		size_t n = 0;
		int r = take(tar, size, &data, &n, err);

		if (r < 0)
			return r;
		size -= n;
	}
	return 0;
}

static bool base256(const char *field, size_t size, int64_t *out)
{
	/* two's complement; the first bit only says that it is not octal, the second is the sign */
	bool negative = field[0] & 0x40;
	uint64_t value = negative ? UINT64_MAX : 0;

	for (size_t i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)field[i];

		if (i == 0)
			byte = negative ? byte | 0x80 : byte & 0x7f;
		if (value >> 55 != (negative ? 0x1ff : 0)) /* the sign must stay */
			return false;
		value = value << 8 | byte;
	}
	*out = (int64_t)value;
	return true;
}

bool tar_number(const char *field, size_t size, int64_t *out)
{
	uint64_t value = 0;
	size_t i = 0;

	if (field[0] & 0x80)
		return base256(field, size, out);
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) /* 12 digits at most: fits */
		value = value << 3 | (uint64_t)(field[i] - '0');
	if (i < size && field[i] != 0 && field[i] != ' ')
		return false;
	*out = (int64_t)value;
	return true;
}

/* Sums differ by the signedness of char where the tar was made; both are in use. */
static bool checksum_is_good(const struct tar_header *header)
{
	const uint8_t *bytes = (const uint8_t *)header;
	size_t from = offsetof(struct tar_header, checksum), to = from + sizeof header->checksum;
	int64_t plain = 0, with_sign = 0, expected;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		uint8_t byte = i >= from && i < to ? ' ' : bytes[i];

		plain += byte;
		with_sign += (int8_t)byte;
	}
	return tar_number(header->checksum, sizeof header->checksum, &expected) &&
	       (expected == plain || expected == with_sign);
}

static bool is_zero(const struct tar_header *header)
{
	static const struct tar_header zero;

	return memcmp(header, &zero, sizeof zero) == 0;
}

/* 1 and a header, 0 at the end: two blocks of zeros, or the end of the stream between entries,
 * which some writers leave it at. */
static int read_header(struct tar *tar, struct tar_header *header, struct error *err)
{
	int r = fill(tar, err);

	if (r <= 0)
		return r;
	r = tar_read(tar, header, sizeof *header, err);
	if (r < 0)
		return r;
	if (is_zero(header)) {
		r = fill(tar, err);
		if (r <= 0)
			return r;
		r = tar_read(tar, header, sizeof *header, err);
		if (r < 0 || is_zero(header))
			return r;
	}
	if (!checksum_is_good(header))
		return error_set(err, -EINVAL, "not a tar: bad checksum of a header");
	return 1;
}

/* The body of an extended header, with a zero behind it. */
static int read_body(struct tar *tar, uint64_t size, uint64_t max, char **out, struct error *err)
{
	char *body;
	int r;

	if (size > max)
		return error_set(err, -E2BIG, "extended header of %llu bytes: the limit is %llu",
				 (unsigned long long)size, (unsigned long long)max);
	body = malloc(size + 1);
	if (!body)
		return error_set(err, -ENOMEM, "not enough memory for an extended header");
	r = tar_read(tar, body, size, err);
	if (r == 0)
		r = skip(tar, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK, err);
	if (r < 0) {
		free(body);
		return r;
	}
	body[size] = 0;
	*out = body;
	return 0;
}

static int read_long(struct tar *tar, uint64_t size, char **out, struct error *err)
{
	free(*out);
	*out = NULL;
	return read_body(tar, size, TAR_MAX_PATH, out, err);
}

static void reset(struct tar *tar)
{
	tar_pax_reset(&tar->pax);
	free(tar->long_path);
	free(tar->long_link);
	tar->long_path = tar->long_link = NULL;
	tar->is_sparse = false;
	tar->piece_count = tar->piece_next = 0;
	tar->piece_left = 0;
	tar->offset = 0;
}

/* Headers that only speak of the next one. 1: it was one of them. */
static int read_extension(struct tar *tar, const struct tar_header *header, uint64_t size,
			  struct error *err)
{
	char *body = NULL;
	int r;

	switch (header->type) {
	case 'x':
	case 'X':
		tar->piece_count = 0;
		r = read_body(tar, size, TAR_MAX_HEADER, &body, err);
		if (r == 0)
			r = tar_pax_parse(&tar->pax, tar, body, size, err);
		break;
	case 'L':
		r = read_long(tar, size, &tar->long_path, err);
		break;
	case 'K':
		r = read_long(tar, size, &tar->long_link, err);
		break;
	case 'g': /* for the whole archive: comments in practice; layers give them no meaning */
	case 'V': /* the volume's name */
		r = skip(tar, (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK, err);
		break;
	default:
		return 0;
	}
	return r < 0 ? r : 1;
}

static int entry_type(char type, const char *path, enum tar_type *out, struct error *err)
{
	switch (type) {
	case 0:
	case '0':
	case '7': /* contiguous file */
	case 'S': /* GNU sparse */
		/* before ustar a folder was a file whose name ends so */
		*out = path[strlen(path) - 1] == '/' ? TAR_FOLDER : TAR_FILE;
		return 0;
	case '1':
		*out = TAR_HARD_LINK;
		return 0;
	case '2':
		*out = TAR_SYMLINK;
		return 0;
	case '3':
		*out = TAR_CHAR_DEVICE;
		return 0;
	case '4':
		*out = TAR_BLOCK_DEVICE;
		return 0;
	case '5':
		*out = TAR_FOLDER;
		return 0;
	case '6':
		*out = TAR_FIFO;
		return 0;
	default:
		return error_set(err, -EINVAL, "entry of unknown type 0x%02x", (unsigned char)type);
	}
}

static bool is_ustar(const struct tar_header *header)
{
	return memcmp(header->magic, "ustar", 6) == 0; /* GNU has a space there, and no prefix */
}

static void header_path(const struct tar_header *header, char out[TAR_MAX_PATH])
{
	size_t size = strnlen(header->name, sizeof header->name);
	size_t prefix = is_ustar(header) ? strnlen(header->rest, 155) : 0;

	if (prefix) {
		memcpy(out, header->rest, prefix);
		out[prefix++] = '/';
	}
	memcpy(out + prefix, header->name, size);
	out[prefix + size] = 0;
}

static int take_names(struct tar *tar, const struct tar_header *header, struct tar_entry *entry,
		      struct error *err)
{
	size_t size = strnlen(header->link, sizeof header->link);

	header_path(header, tar->path);
	memcpy(tar->link, header->link, size);
	tar->link[size] = 0;
	entry->path = tar->path;
	entry->link = tar->link;
	if (tar->long_path)
		entry->path = tar->long_path;
	if (tar->long_link)
		entry->link = tar->long_link;
	if (tar->pax.path)
		entry->path = tar->pax.path;
	if (tar->pax.link)
		entry->link = tar->pax.link;
	if (tar->pax.sparse_name)
		entry->path = tar->pax.sparse_name;
	if (!*entry->path)
		return error_set(err, -EINVAL, "entry without a name");
	return 0;
}

static bool take_id(const char field[8], uint32_t *out)
{
	int64_t value;

	if (!tar_number(field, 8, &value) || value < 0 || value >= UINT32_MAX)
		return false;
	*out = (uint32_t)value;
	return true;
}

static int take_numbers(struct tar *tar, const struct tar_header *header, struct tar_entry *entry,
			struct error *err)
{
	const struct tar_pax *pax = &tar->pax;
	int64_t mode, major = 0, minor = 0;
	bool good =
	    tar_number(header->mode, sizeof header->mode, &mode) &&
	    (pax->has_uid || take_id(header->uid, &entry->uid)) &&
	    (pax->has_gid || take_id(header->gid, &entry->gid)) &&
	    (pax->has_mtime || tar_number(header->mtime, sizeof header->mtime, &entry->mtime));

	if (good && (entry->type == TAR_CHAR_DEVICE || entry->type == TAR_BLOCK_DEVICE))
		good = tar_number(header->major, sizeof header->major, &major) &&
		       tar_number(header->minor, sizeof header->minor, &minor) && major >= 0 &&
		       major < 1 << 12 && minor >= 0 && minor < 1 << 20;
	if (!good)
		return error_set(err, -EINVAL, "bad number in a header");
	entry->mode = (uint32_t)mode & 07777;
	entry->major = (uint32_t)major;
	entry->minor = (uint32_t)minor;
	if (pax->has_uid)
		entry->uid = pax->uid;
	if (pax->has_gid)
		entry->gid = pax->gid;
	if (pax->has_mtime) {
		entry->mtime = pax->mtime;
		entry->mtime_ns = pax->mtime_ns;
	}
	entry->xattrs = pax->xattrs;
	entry->xattr_count = pax->xattr_count;
	return 0;
}

/* What is stored of the entry, and what of the file it is. */
static int take_size(struct tar *tar, const struct tar_header *header, uint64_t size,
		     struct tar_entry *entry, struct error *err)
{
	int r = 0;

	if (entry->type != TAR_FILE)
		size = 0; /* some writers leave a size there, none stores anything */
	tar->left = tar->size = size;
	tar->padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
	tar->is_sparse = entry->type == TAR_FILE && (header->type == 'S' || tar->pax.is_sparse);
	if (tar->is_sparse && header->type == 'S')
		r = tar_sparse_gnu(tar, header, err);
	else if (tar->is_sparse && tar->pax.sparse_major == 1)
		r = tar_sparse_in_content(tar, err);
	if (r == 0 && tar->is_sparse && tar->pax.has_real_size)
		tar->size = tar->pax.real_size;
	if (r == 0 && tar->is_sparse)
		r = tar_sparse_check(tar, err);
	entry->size = tar->size;
	return r;
}

static int next_entry(struct tar *tar, struct tar_header *header, uint64_t *size, struct error *err)
{
	for (;;) {
		int64_t stored;
		int r = read_header(tar, header, err);

		if (r <= 0)
			return r;
		if (!tar_number(header->size, sizeof header->size, &stored) || stored < 0 ||
		    (uint64_t)stored > TAR_MAX_SIZE)
			return error_set(err, -EINVAL, "bad size in a header");
		*size = (uint64_t)stored;
		r = read_extension(tar, header, *size, err);
		if (r <= 0)
			return r ? r : 1;
	}
}

int tar_next(struct tar *tar, struct tar_entry *entry, struct error *err)
{
	struct tar_header header;
	struct tar_entry result = { 0 };
	uint64_t size = 0;
	int r = skip(tar, tar->left + tar->padding, err);

	tar->left = tar->padding = 0;
	reset(tar);
	if (r == 0)
		r = next_entry(tar, &header, &size, err);
	if (r <= 0)
		return r;
	if (tar->pax.has_size)
		size = tar->pax.size;
	r = take_names(tar, &header, &result, err);
	if (r == 0)
		r = entry_type(header.type, result.path, &result.type, err);
	if (r == 0)
		r = take_numbers(tar, &header, &result, err);
	if (r == 0)
		r = take_size(tar, &header, size, &result, err);
	if (r < 0)
		return r;
	*entry = result;
	return 1;
}

int tar_data(struct tar *tar, uint64_t *offset, const uint8_t **data, size_t *size,
	     struct error *err)
{
	uint64_t max = tar->left;
	int r;

	if (!tar->left)
		return 0;
	if (tar->is_sparse) {
		while (!tar->piece_left) { /* their sizes make up what is left */
			tar->offset = tar->pieces[tar->piece_next].offset;
			tar->piece_left = tar->pieces[tar->piece_next].size;
			tar->piece_next++;
		}
		max = tar->piece_left;
	}
	r = take(tar, max, data, size, err);
	if (r < 0)
		return r;
	*offset = tar->offset;
	tar->offset += *size;
	tar->left -= *size;
	if (tar->is_sparse)
		tar->piece_left -= *size;
	return 1;
}

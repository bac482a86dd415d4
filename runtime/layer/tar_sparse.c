/* GNU's sparse files: a list of pieces that are stored, everything between them is zero. */
#include "runtime/layer/tar_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int tar_sparse_add(struct tar *tar, uint64_t offset, uint64_t size, struct error *err)
{
	if (tar->piece_count == TAR_MAX_PIECES)
		return error_set(err, -E2BIG, "sparse file of more than %d pieces", TAR_MAX_PIECES);
	if (tar->piece_count == tar->piece_room) {
		size_t room = tar->piece_room ? tar->piece_room * 2 : 32;
		struct tar_piece *more = reallocarray(tar->pieces, room, sizeof *more);

		if (!more)
			return error_set(err, -ENOMEM, "not enough memory for a sparse file's map");
		tar->pieces = more;
		tar->piece_room = room;
	}
	tar->pieces[tar->piece_count++] = (struct tar_piece){ .offset = offset, .size = size };
	return 0;
}

int tar_sparse_map(struct tar *tar, const char *text, struct error *err)
{
	tar->piece_count = 0;
	while (*text) {
		uint64_t offset, size;
		int r;

		if (!tar_pax_number(&text, ',', &offset) ||
		    !tar_pax_number(&text, strchr(text, ',') ? ',' : 0, &size))
			return error_set(err, -EINVAL, "bad value of GNU.sparse.map");
		r = tar_sparse_add(tar, offset, size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

enum { GNU_ENTRY = 24, GNU_FIRST = 4, GNU_MORE = 21 };

/* `count` pairs of 12-byte numbers; an empty one ends them. */
static int add_gnu_entries(struct tar *tar, const char *at, unsigned count, struct error *err)
{
	for (; count && *at; count--, at += GNU_ENTRY) {
		int64_t offset, size;
		int r;

		if (!tar_number(at, 12, &offset) || !tar_number(at + 12, 12, &size) || offset < 0 ||
		    size < 0)
			return error_set(err, -EINVAL, "damaged map of a sparse file");
		r = tar_sparse_add(tar, (uint64_t)offset, (uint64_t)size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int tar_sparse_gnu(struct tar *tar, const struct tar_header *header, struct error *err)
{
	const char *bytes = (const char *)header;
	bool more = bytes[482] != 0;
	char block[TAR_BLOCK];
	int64_t size;
	int r;

	if (!tar_number(bytes + 483, 12, &size) || size < 0 || (uint64_t)size > TAR_MAX_SIZE)
		return error_set(err, -EINVAL, "bad size of a sparse file");
	tar->size = (uint64_t)size;
	tar->piece_count = 0;
	r = add_gnu_entries(tar, bytes + 386, GNU_FIRST, err);
	while (r == 0 && more) {
		r = tar_read(tar, block, sizeof block, err);
		if (r == 0)
			r = add_gnu_entries(tar, block, GNU_MORE, err);
		more = r == 0 && block[504] != 0;
	}
	return r;
}

/* One line of the map that opens the content: a decimal number. */
static int read_line(struct tar *tar, uint64_t *taken, uint64_t *out, struct error *err)
{
	char line[24];
	const char *at = line;

	for (size_t i = 0; i < sizeof line; i++) {
		int r = *taken < tar->left ? tar_read(tar, &line[i], 1, err) : -EINVAL;

		if (r == -EBADMSG)
			return r;
		if (r < 0)
			break;
		(*taken)++;
		if (line[i] == '\n' && tar_pax_number(&at, '\n', out))
			return 0;
		if (line[i] == '\n')
			break;
	}
	return error_set(err, -EINVAL, "damaged map of a sparse file");
}

int tar_sparse_in_content(struct tar *tar, struct error *err)
{
	uint64_t count = 0, taken = 0, offset = 0, size = 0;
	char skipped[TAR_BLOCK];
	int r = read_line(tar, &taken, &count, err);

	if (r == 0 && count > TAR_MAX_PIECES)
		r = error_set(err, -E2BIG, "sparse file of more than %d pieces", TAR_MAX_PIECES);
	tar->piece_count = 0;
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		r = read_line(tar, &taken, &offset, err);
		if (r == 0)
			r = read_line(tar, &taken, &size, err);
		if (r == 0)
			r = tar_sparse_add(tar, offset, size, err);
	}
	if (r == 0 && taken % TAR_BLOCK) {
		size_t padding = TAR_BLOCK - taken % TAR_BLOCK;

		if (padding > tar->left - taken)
			return error_set(err, -EINVAL, "damaged map of a sparse file");
		r = tar_read(tar, skipped, padding, err);
		taken += padding;
	}
	if (r == 0)
		tar->left -= taken;
	return r;
}

int tar_sparse_check(const struct tar *tar, struct error *err)
{
	uint64_t end = 0, stored = 0;

	for (size_t i = 0; i < tar->piece_count; i++) {
		const struct tar_piece *piece = &tar->pieces[i];

		if (piece->offset < end || piece->offset > tar->size ||
		    piece->size > tar->size - piece->offset)
			return error_set(err, -EINVAL, "damaged map of a sparse file");
		end = piece->offset + piece->size;
		stored += piece->size;
	}
	if (stored != tar->left)
		return error_set(err, -EINVAL, "a sparse file's map does not match its content");
	return 0;
}

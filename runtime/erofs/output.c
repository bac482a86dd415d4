#include "base/sys.h"
#include "runtime/erofs/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 1 << 20 };

int erofs_output_init(struct erofs_output *out, int fd)
{
	*out = (struct erofs_output){ .fd = fd, .next_block = 1 };
	out->buffer = malloc(BUFFER);
	return out->buffer ? 0 : -ENOMEM;
}

void erofs_output_finish(struct erofs_output *out)
{
	free(out->buffer);
	out->buffer = NULL;
}

int erofs_output_alloc(struct erofs_output *out, uint64_t blocks, uint32_t *first)
{
	if (blocks > EROFS_HOLE_BLOCK - out->next_block)
		return -EFBIG;
	*first = (uint32_t)out->next_block;
	out->next_block += blocks;
	return 0;
}

int erofs_output_flush(struct erofs_output *out)
{
	int r = 0;

	if (out->size)
		r = sys_pwrite_all(out->fd, out->buffer, out->size, out->start);
	out->size = 0;
	return r;
}

/* The file is fresh, so bytes that are skipped are zeros already. Where nothing was written yet, a
 * gap of less than a block (behind the end of a file) is bridged, so that the files around it go
 * out in one call. */
static bool follows(const struct erofs_output *out, uint64_t position, size_t size)
{
	uint64_t end = out->start + out->size;

	if (!out->size || position < end || position - out->start + size > BUFFER)
		return false;
	return position == end || (end == out->frontier && position - end < EROFS_BLOCK);
}

static void advance(struct erofs_output *out, uint64_t end)
{
	if (end > out->frontier)
		out->frontier = end;
}

int erofs_output_write(struct erofs_output *out, uint64_t position, const void *data, size_t size)
{
	size_t at;

	if (!follows(out, position, size)) {
		int r = erofs_output_flush(out);

		if (r < 0)
			return r;
		if (size >= BUFFER / 2) {
			advance(out, position + size);
			return sys_pwrite_all(out->fd, data, size, position);
		}
		out->start = position;
	}
	advance(out, position + size);
	at = (size_t)(position - out->start);
	memset(out->buffer + out->size, 0, at - out->size);
	memcpy(out->buffer + at, data, size);
	out->size = at + size;
	return 0;
}

void erofs_discard(struct erofs_writer *writer, const struct erofs_place *place)
{
	struct erofs_output *out = &writer->out;

	if (!place->blocks || erofs_output_flush(out) < 0)
		return;
	/* a file system that cannot make holes keeps the bytes, which is no harm */
	(void)SYS(fallocate, out->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)place->block * EROFS_BLOCK, (off_t)place->blocks * EROFS_BLOCK);
}

/* The bytes of a popped chain: copying them, and handing them on to readv(2) and writev(2). */
#include "devices/virtqueue.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t total(const struct iovec *segments, unsigned count)
{
	size_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += segments[i].iov_len; /* at most CHAIN_MAX_SEGMENTS * 4 GiB */
	return sum;
}

size_t chain_readable(const struct chain *chain)
{
	return total(chain->segments, chain->readable_count) - chain->read_position;
}

size_t chain_writable(const struct chain *chain)
{
	return total(chain->segments + chain->readable_count, chain->writable_count) -
	       chain->write_position;
}

/* Up to max pieces of segments[0..count), from byte `position` on, `size` bytes together. */
static unsigned peek(const struct iovec *segments, unsigned count, size_t position, size_t size,
		     struct iovec *out, unsigned max, size_t *covered)
{
	unsigned filled = 0;

	*covered = 0;
	for (unsigned i = 0; i < count && filled < max && *covered < size; i++) {
		size_t step;

		if (position >= segments[i].iov_len) {
			position -= segments[i].iov_len;
			continue;
		}
		step = least(segments[i].iov_len - position, size - *covered);
		out[filled++] =
		    (struct iovec){ .iov_base = (uint8_t *)segments[i].iov_base + position,
				    .iov_len = step };
		*covered += step;
		position = 0;
	}
	return filled;
}

unsigned chain_peek_readable(const struct chain *chain, size_t size, struct iovec *out,
			     unsigned max, size_t *covered)
{
	return peek(chain->segments, chain->readable_count, chain->read_position, size, out, max,
		    covered);
}

unsigned chain_peek_writable(const struct chain *chain, size_t size, struct iovec *out,
			     unsigned max, size_t *covered)
{
	return peek(chain->segments + chain->readable_count, chain->writable_count,
		    chain->write_position, size, out, max, covered);
}

size_t chain_read(struct chain *chain, void *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		struct iovec piece;
		size_t step;

		if (chain_peek_readable(chain, size - done, &piece, 1, &step) == 0)
			break;
		memcpy((uint8_t *)to + done, piece.iov_base, step);
		chain->read_position += step;
		done += step;
	}
	return done;
}

size_t chain_write(struct chain *chain, const void *from, size_t size)
{
	size_t done = 0;

	while (done < size) {
		struct iovec piece;
		size_t step;

		if (chain_peek_writable(chain, size - done, &piece, 1, &step) == 0)
			break;
		memcpy(piece.iov_base, (const uint8_t *)from + done, step);
		chain->write_position += step;
		done += step;
	}
	return done;
}

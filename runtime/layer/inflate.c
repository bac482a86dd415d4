#include "runtime/layer/inflate.h"

#include "base/sys.h"

#include <errno.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

/* What is known of the input: the piece at hand, and whether one came at all. */
struct input {
	const struct inflate_io *io;
	const uint8_t *data;
	size_t size;
};

static int fill(struct input *in, struct error *err)
{
	int r;

	if (in->size)
		return 1;
	r = in->io->next(in->io->context, &in->data, &in->size);
	return r < 0 ? error_set(err, r, "read the layer: %s", sys_text(r)) : r;
}

static int flush(struct input *in, size_t size, struct error *err)
{
	int r = size ? in->io->flush(in->io->context, size) : 0;

	return r < 0 ? error_set(err, r, "pass on the layer: %s", sys_text(r)) : 0;
}

static int truncated(struct error *err, const char *format)
{
	return error_set(err, -EBADMSG, "the layer is truncated: its %s data has no end", format);
}

static int copy(struct input *in, struct error *err)
{
	int r;

	while ((r = fill(in, err)) == 1) {
		size_t n = in->size < in->io->room ? in->size : in->io->room;

		memcpy(in->io->buffer, in->data, n);
		in->data += n;
		in->size -= n;
		r = flush(in, n, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* Behind a member there may be another one, or zeros that fill a tape's or disk's block. */
static int after_member(struct input *in, bool *more, struct error *err)
{
	int r;

	*more = false;
	while ((r = fill(in, err)) == 1 && !*in->data) {
		in->data++;
		in->size--;
	}
	*more = r == 1;
	return r < 0 ? r : 0;
}

static int gzip_error(struct error *err, const z_stream *stream, int status)
{
	if (status == Z_MEM_ERROR)
		return error_set(err, -ENOMEM, "decompress the layer: out of memory");
	return error_set(err, -EBADMSG, "the layer's gzip data is damaged: %s",
			 stream->msg ? stream->msg : "no gzip data");
}

static int gunzip(struct input *in, z_stream *stream, struct error *err)
{
	const struct inflate_io *io = in->io;
	bool more = true;

	while (more) {
		int r = fill(in, err), status;

		if (r <= 0)
			return r ? r : truncated(err, "gzip");
		stream->next_in = in->data;
		stream->avail_in = (uInt)in->size;
		stream->next_out = io->buffer;
		stream->avail_out = (uInt)io->room;
		status = inflate(stream, Z_NO_FLUSH);
		in->data += in->size - stream->avail_in;
		in->size = stream->avail_in;
		if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
			return gzip_error(err, stream, status);
		r = flush(in, io->room - stream->avail_out, err);
		if (r == 0 && status == Z_STREAM_END)
			r = after_member(in, &more, err);
		if (r == 0 && status == Z_STREAM_END && more)
			(void)inflateReset(stream);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_gzip(struct input *in, struct error *err)
{
	z_stream stream = { 0 };
	int r = inflateInit2(&stream, 16 + MAX_WBITS); /* gzip only */

	if (r != Z_OK)
		return gzip_error(err, &stream, r);
	r = gunzip(in, &stream, err);
	(void)inflateEnd(&stream);
	return r;
}

static int unzstd(struct input *in, ZSTD_DCtx *context, struct error *err)
{
	size_t hint = 0;
	int r;

	for (;;) {
		ZSTD_inBuffer from;
		ZSTD_outBuffer to = { .dst = in->io->buffer, .size = in->io->room };

		r = fill(in, err);
		if (r <= 0)
			break;
		from = (ZSTD_inBuffer){ .src = in->data, .size = in->size };
		hint = ZSTD_decompressStream(context, &to, &from);
		if (ZSTD_isError(hint))
			return error_set(err, -EBADMSG, "the layer's zstd data is damaged: %s",
					 ZSTD_getErrorName(hint));
		in->data += from.pos;
		in->size -= from.pos;
		r = flush(in, to.pos, err);
		/* a full buffer may have left output behind, which needs no input */
		while (r == 0 && to.pos == to.size && hint) {
			to.pos = 0;
			from = (ZSTD_inBuffer){ 0 };
			hint = ZSTD_decompressStream(context, &to, &from);
			if (ZSTD_isError(hint))
				return error_set(err, -EBADMSG,
						 "the layer's zstd data is damaged: %s",
						 ZSTD_getErrorName(hint));
			r = flush(in, to.pos, err);
		}
		if (r < 0)
			return r;
	}
	if (r == 0 && hint)
		return truncated(err, "zstd");
	return r;
}

static int copy_zstd(struct input *in, struct error *err)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	int r;

	if (!context)
		return error_set(err, -ENOMEM, "decompress the layer: out of memory");
	r = unzstd(in, context, err);
	(void)ZSTD_freeDCtx(context);
	return r;
}

/* What other programs can read and this one cannot, by its name; NULL for anything else. */
static const char *foreign(const struct input *in)
{
	static const struct {
		const char *magic, *name;
	} formats[] = {
		{ "BZh", "bzip2" },
		{ "\xfd"
		  "7zXZ",
		  "xz" },
		{ "\x04\x22\x4d\x18", "lz4" },
		{ "PK\x03\x04", "zip" },
	};

	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		size_t size = strlen(formats[i].magic);

		if (in->size >= size && memcmp(in->data, formats[i].magic, size) == 0)
			return formats[i].name;
	}
	return NULL;
}

static enum layer_compression tell(const struct input *in)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b, 8 }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (in->size >= sizeof gzip && memcmp(in->data, gzip, sizeof gzip) == 0)
		return LAYER_GZIP;
	if (in->size >= sizeof zstd && memcmp(in->data, zstd, sizeof zstd) == 0)
		return LAYER_ZSTD;
	return LAYER_PLAIN;
}

int inflate_stream(const struct inflate_io *io, enum layer_compression compression,
		   struct error *err)
{
	struct input in = { .io = io };
	int r = fill(&in, err);

	if (r <= 0)
		return r ? r : error_set(err, -EBADMSG, "the layer is empty");
	if (compression == LAYER_AUTO && foreign(&in))
		return error_set(err, -ENOTSUP, "it is compressed with %s, not gzip or zstd",
				 foreign(&in));
	if (compression == LAYER_AUTO)
		compression = tell(&in);
	switch (compression) {
	case LAYER_GZIP:
		return copy_gzip(&in, err);
	case LAYER_ZSTD:
		return copy_zstd(&in, err);
	case LAYER_AUTO:
	case LAYER_PLAIN:
		break;
	}
	return copy(&in, err);
}

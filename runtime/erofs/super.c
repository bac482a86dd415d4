#include "base/check.h"
#include "base/sys.h"
#include "runtime/erofs/writer.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int erofs_create(int fd, const uint8_t uuid[16], struct erofs_writer **out)
{
	struct erofs_writer *writer = calloc(1, sizeof *writer);
	int r;

	if (!writer)
		return -ENOMEM;
	r = erofs_output_init(&writer->out, fd);
	if (r < 0) {
		free(writer);
		return r;
	}
	memcpy(writer->uuid, uuid, sizeof writer->uuid);
	*out = writer;
	return 0;
}

void erofs_destroy(struct erofs_writer *writer)
{
	if (!writer)
		return;
	erofs_output_finish(&writer->out);
	free(writer->file.map);
	free(writer);
}

/* Castagnoli's polynomial, bit by bit: it runs over 3 KiB once per image. */
static uint32_t crc32c(const uint8_t *data, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
	}
	return crc;
}

void erofs_set_label(struct erofs_writer *writer, const char *label)
{
	CHECK(strlen(label) < sizeof writer->label);
	memcpy(writer->label, label, strlen(label) + 1);
}

int erofs_read_label(int fd, char out[EROFS_LABEL_SIZE])
{
	struct erofs_disk_super super;
	long n = SYS_RETRY(pread, fd, &super, sizeof super, EROFS_SUPER_OFFSET);

	if (n >= 0 && (n != sizeof super || le32toh(super.magic) != EROFS_MAGIC))
		return -EINVAL;
	if (n < 0)
		return (int)n;
	memcpy(out, super.volume_name, sizeof super.volume_name);
	out[sizeof super.volume_name] = '\0';
	return 0;
}

int erofs_finish(struct erofs_writer *writer, uint64_t inodes, uint64_t *size)
{
	struct erofs_disk_super super = {
		.magic = htole32(EROFS_MAGIC),
		.feature_compat = htole32(EROFS_COMPAT_CHECKSUM | EROFS_COMPAT_MTIME),
		.block_bits = EROFS_BLOCK_BITS,
		.root_nid = htole16(EROFS_ROOT_POSITION / EROFS_SLOT),
		.inodes = htole64(inodes),
		.blocks = htole32((uint32_t)writer->out.next_block),
		.feature_incompat = htole32(writer->has_chunks ? EROFS_INCOMPAT_CHUNKS : 0),
	};
	uint64_t bytes = writer->out.next_block * EROFS_BLOCK;
	int r;

	memcpy(super.uuid, writer->uuid, sizeof super.uuid);
	memcpy(super.volume_name, writer->label, sizeof super.volume_name);
	memcpy(writer->block0 + EROFS_SUPER_OFFSET, &super, sizeof super);
	super.checksum =
	    htole32(crc32c(writer->block0 + EROFS_SUPER_OFFSET, EROFS_BLOCK - EROFS_SUPER_OFFSET));
	memcpy(writer->block0 + EROFS_SUPER_OFFSET, &super, sizeof super);
	r = erofs_meta_flush(writer);
	if (r == 0)
		r = erofs_output_write(&writer->out, 0, writer->block0, EROFS_BLOCK);
	if (r == 0)
		r = erofs_output_flush(&writer->out);
	if (r == 0)
		r = (int)SYS_RETRY(ftruncate, writer->out.fd, (off_t)bytes);
	if (r == 0)
		*size = bytes;
	return r;
}

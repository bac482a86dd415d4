#include "tar_writer.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

void tarball_bytes(struct tarball *tar, const void *data, size_t size)
{
	tar->data = realloc(tar->data, tar->size + size);
	CHECK(tar->data);
	if (size)
		memcpy(tar->data + tar->size, data, size);
	tar->size += size;
}

static void pad(struct tarball *tar)
{
	static const char zero[TAR_BLOCK];

	tarball_bytes(tar, zero, (TAR_BLOCK - tar->size % TAR_BLOCK) % TAR_BLOCK);
}

/* Octal digits and a zero: all of the field. */
static void put_octal(char *field, size_t size, uint64_t value)
{
	for (size_t i = size - 1; i > 0; i--, value >>= 3)
		field[i - 1] = (char)('0' + (value & 7));
}

void tarball_add(struct tarball *tar, struct tar_member member)
{
	char header[TAR_BLOCK] = { 0 };
	unsigned sum = 0;

	memcpy(header, member.path, strnlen(member.path, 100));
	put_octal(header + 100, 8, member.mode ? member.mode : 0644);
	put_octal(header + 108, 8, member.uid);
	put_octal(header + 116, 8, member.gid);
	put_octal(header + 124, 12, member.size);
	put_octal(header + 136, 12, (uint64_t)member.mtime);
	memset(header + 148, ' ', 8);
	header[156] = member.type ? member.type : '0';
	if (member.link)
		memcpy(header + 157, member.link, strnlen(member.link, 100));
	memcpy(header + 257,
	       "ustar\0"
	       "00",
	       8);
	put_octal(header + 329, 8, member.major);
	put_octal(header + 337, 8, member.minor);
	for (size_t i = 0; i < sizeof header; i++)
		sum += (unsigned char)header[i];
	put_octal(header + 148, 7, sum);
	tarball_bytes(tar, header, sizeof header);
	if (member.content)
		tarball_bytes(tar, member.content, member.size);
	pad(tar);
}

void tarball_pax(struct tarball *tar, const char *key, const void *value, size_t value_size)
{
	size_t body = strlen(key) + value_size + 3, size = body + 1;
	char *record, digits[24];

	while (size != body + (size_t)snprintf(digits, sizeof digits, "%zu", size))
		size++;
	record = malloc(size + 1);
	CHECK(record);
	(void)snprintf(record, size + 1, "%zu %s=", size, key);
	memcpy(record + size - 1 - value_size, value, value_size);
	record[size - 1] = '\n';
	tarball_add(tar,
		    (struct tar_member){
			.type = 'x', .path = "PaxHeaders/x", .content = record, .size = size });
	free(record);
}

void tarball_end(struct tarball *tar)
{
	static const char zero[2 * TAR_BLOCK];

	tarball_bytes(tar, zero, sizeof zero);
}

void tarball_finish(struct tarball *tar)
{
	free(tar->data);
	*tar = (struct tarball){ 0 };
}

int tarball_next(void *context, const uint8_t **data, size_t *size, struct error *err)
{
	struct tarball_source *source = context;
	const struct tarball *tar = &source->tars[source->next];

	(void)err;
	CHECK(source->next < source->count);
	if (source->at == tar->size) {
		source->next++;
		source->at = 0;
		return 0;
	}
	*data = (const uint8_t *)tar->data + source->at;
	*size = tar->size - source->at;
	if (source->step && *size > source->step)
		*size = source->step;
	source->at += *size;
	return 1;
}

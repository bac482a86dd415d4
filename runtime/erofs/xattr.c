#include "runtime/erofs/writer.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Also what the kernel can list of one inode. */
enum { XATTRS_MAX = 64 << 10 };

struct namespace
{
	const char *prefix;
	uint8_t number;
	bool is_whole; /* the prefix is the name */
};

static const struct namespace namespaces[] = {
	{ "user.", 1, false },
	{ "system.posix_acl_access", 2, true },
	{ "system.posix_acl_default", 3, true },
	{ "trusted.", 4, false },
	{ "security.", 6, false },
};

static const struct namespace *find_namespace(const char *name, size_t size)
{
	for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
		const struct namespace *it = &namespaces[i];
		size_t prefix = strlen(it->prefix);

		if (it->is_whole ? size != prefix : size <= prefix)
			continue;
		if (memcmp(name, it->prefix, prefix) == 0)
			return it;
	}
	return NULL;
}

int erofs_xattrs_add(struct erofs_xattrs *xattrs, const char *name, size_t name_size,
		     const void *value, size_t value_size)
{
	const struct namespace *space = find_namespace(name, name_size);
	size_t start = xattrs->size ? xattrs->size : sizeof(struct erofs_disk_xattrs);
	struct erofs_disk_xattr entry;
	size_t size, suffix;
	uint8_t *data;

	if (!space || name_size > EROFS_NAME_MAX)
		return -EOPNOTSUPP;
	suffix = name_size - strlen(space->prefix);
	if (value_size > UINT16_MAX)
		return -E2BIG;
	size = (sizeof entry + suffix + value_size + 3) / 4 * 4;
	if (start + size > XATTRS_MAX)
		return -E2BIG;
	data = realloc(xattrs->data, start + size);
	if (!data)
		return -ENOMEM;
	xattrs->data = data;
	if (!xattrs->size) /* the header: nothing shared, no filter */
		memset(data, 0, start);
	entry = (struct erofs_disk_xattr){ .name_size = (uint8_t)suffix,
					   .prefix = space->number,
					   .value_size = htole16((uint16_t)value_size) };
	memset(data + start, 0, size);
	memcpy(data + start, &entry, sizeof entry);
	memcpy(data + start + sizeof entry, name + name_size - suffix, suffix);
	if (value_size)
		memcpy(data + start + sizeof entry + suffix, value, value_size);
	xattrs->size = start + size;
	return 0;
}

void erofs_xattrs_finish(struct erofs_xattrs *xattrs)
{
	free(xattrs->data);
	*xattrs = (struct erofs_xattrs){ 0 };
}

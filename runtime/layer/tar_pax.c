/* PAX extended headers: records of "LENGTH KEY=VALUE\n", where LENGTH counts the whole record. */
#include "runtime/layer/tar_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool tar_pax_number(const char **text, char stop, uint64_t *out)
{
	const char *at = *text;
	uint64_t value = 0;

	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return false;
	if (*at != stop)
		return false;
	*text = at + (stop != 0);
	*out = value;
	return true;
}

static bool whole_number(const char *value, uint64_t max, uint64_t *out)
{
	return tar_pax_number(&value, 0, out) && *out <= max;
}

/* Seconds, maybe negative, maybe with a fraction; digits beyond nanoseconds are cut off. */
static bool parse_time(const char *value, int64_t *seconds, uint32_t *ns)
{
	bool negative = *value == '-';
	const char *at = value + negative, *point = strchr(at, '.');
	uint32_t fraction = 0, unit = 100000000;
	uint64_t whole;

	if (!tar_pax_number(&at, point ? '.' : 0, &whole) || whole > INT64_MAX)
		return false;
	for (; point && *at; at++, unit /= 10) {
		if (*at < '0' || *at > '9')
			return false;
		fraction += unit * (uint32_t)(*at - '0');
	}
	*seconds = negative ? -(int64_t)whole : (int64_t)whole;
	*ns = fraction;
	if (negative && fraction) {
		(*seconds)--;
		*ns = 1000000000 - fraction;
	}
	return true;
}

static bool take_path(const char *value, size_t size, const char **out)
{
	if (size >= TAR_MAX_PATH || memchr(value, 0, size))
		return false;
	*out = size ? value : NULL; /* an empty value takes the header's back */
	return true;
}

static bool take_id(const char *value, bool *has, uint32_t *out)
{
	uint64_t number;

	/* the last id means "no change" to chown(2) */
	if (!whole_number(value, UINT32_MAX - 1, &number))
		return false;
	*has = true;
	*out = (uint32_t)number;
	return true;
}

static bool take_xattr(struct tar_pax *pax, const char *name, const char *value, size_t size)
{
	size_t name_size = strlen(name), i = 0;

	while (i < pax->xattr_count && (pax->xattrs[i].name_size != name_size ||
					memcmp(pax->xattrs[i].name, name, name_size) != 0))
		i++;
	if (i == TAR_MAX_XATTRS || name_size == 0)
		return false;
	if (i == pax->xattr_count)
		pax->xattr_count++;
	pax->xattrs[i] = (struct tar_xattr){ .name = name,
					     .name_size = name_size,
					     .value = (const uint8_t *)value,
					     .value_size = size };
	return true;
}

/* Keys of GNU's sparse formats, behind "GNU.sparse.". 0.0 repeats offset and numbytes. */
static int take_sparse(struct tar_pax *pax, struct tar *tar, const char *key, const char *value,
		       size_t size, struct error *err)
{
	uint64_t number = 0;
	bool good = true;

	pax->is_sparse = true;
	if (strcmp(key, "map") == 0)
		return tar_sparse_map(tar, value, err);
	if (strcmp(key, "name") == 0) {
		good = take_path(value, size, &pax->sparse_name);
	} else if (strcmp(key, "offset") == 0) {
		good = whole_number(value, TAR_MAX_SIZE, &number);
		if (good)
			return tar_sparse_add(tar, number, 0, err);
	} else if (strcmp(key, "numbytes") == 0) {
		good = whole_number(value, TAR_MAX_SIZE, &number) && tar->piece_count;
		if (good)
			tar->pieces[tar->piece_count - 1].size = number;
	} else if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0) {
		good = whole_number(value, TAR_MAX_SIZE, &pax->real_size);
		pax->has_real_size = true;
	} else if (strcmp(key, "major") == 0) {
		good = whole_number(value, 1, &number);
		pax->sparse_major = (unsigned)number;
	}
	return good ? 0 : error_set(err, -EINVAL, "bad value of GNU.sparse.%.40s", key);
}

static int take_record(struct tar_pax *pax, struct tar *tar, const char *key, const char *value,
		       size_t size, struct error *err)
{
	static const char xattr[] = "SCHILY.xattr.", sparse[] = "GNU.sparse.";
	bool good = true;

	if (strcmp(key, "path") == 0)
		good = take_path(value, size, &pax->path);
	else if (strcmp(key, "linkpath") == 0)
		good = take_path(value, size, &pax->link);
	else if (strcmp(key, "size") == 0)
		good = pax->has_size = whole_number(value, TAR_MAX_SIZE, &pax->size);
	else if (strcmp(key, "uid") == 0)
		good = take_id(value, &pax->has_uid, &pax->uid);
	else if (strcmp(key, "gid") == 0)
		good = take_id(value, &pax->has_gid, &pax->gid);
	else if (strcmp(key, "mtime") == 0)
		good = pax->has_mtime = parse_time(value, &pax->mtime, &pax->mtime_ns);
	else if (strncmp(key, xattr, sizeof xattr - 1) == 0)
		good = take_xattr(pax, key + sizeof xattr - 1, value, size);
	else if (strncmp(key, sparse, sizeof sparse - 1) == 0)
		return take_sparse(pax, tar, key + sizeof sparse - 1, value, size, err);
	return good ? 0 : error_set(err, -EINVAL, "bad value of %.40s", key);
}

int tar_pax_parse(struct tar_pax *pax, struct tar *tar, char *text, size_t size, struct error *err)
{
	char *end = text + size;

	tar_pax_reset(pax);
	pax->records = text;
	while (text < end) {
		const char *at = text;
		uint64_t length;
		char *key, *equals, *last;
		int r;

		if (!tar_pax_number(&at, ' ', &length) || length > (uint64_t)(end - text) ||
		    length <= (uint64_t)(at - text))
			return error_set(err, -EINVAL, "damaged extended header");
		key = text + (at - text);
		last = text + length - 1;
		equals = memchr(key, '=', (size_t)(last - key));
		if (*last != '\n' || !equals || memchr(key, 0, (size_t)(equals - key)))
			return error_set(err, -EINVAL, "damaged extended header");
		*equals = 0;
		*last = 0;
		r = take_record(pax, tar, key, equals + 1, (size_t)(last - equals - 1), err);
		if (r < 0)
			return r;
		text += length;
	}
	return 0;
}

void tar_pax_reset(struct tar_pax *pax)
{
	free(pax->records);
	pax->records = NULL;
	pax->path = pax->link = pax->sparse_name = NULL;
	pax->has_size = pax->has_uid = pax->has_gid = pax->has_mtime = false;
	pax->is_sparse = pax->has_real_size = false;
	pax->sparse_major = 0;
	pax->xattr_count = 0;
}

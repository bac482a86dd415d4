#include "runtime/environment.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static size_t key_size(const char *entry)
{
	return strcspn(entry, "=");
}

static size_t find(const struct texts *environment, const char *key, size_t size)
{
	for (size_t i = 0; i < environment->count; i++)
		if (key_size(environment->list[i]) == size &&
		    memcmp(environment->list[i], key, size) == 0)
			return i;
	return environment->count;
}

void environment_set(struct arena *arena, struct texts *environment, const char *entry)
{
	size_t at = find(environment, entry, key_size(entry));

	if (at < environment->count)
		environment->list[at] = arena_text(arena, entry, strlen(entry));
	else
		texts_add(arena, environment, entry);
}

const char *environment_get(const struct texts *environment, const char *key)
{
	size_t at = find(environment, key, strlen(key));

	return at < environment->count ? environment->list[at] + strlen(key) + 1 : NULL;
}

static void remove_key(struct texts *environment, const char *key)
{
	size_t at = find(environment, key, strlen(key));

	if (at == environment->count)
		return;
	environment->count--;
	for (; at <= environment->count; at++) /* the NULL behind the last one too */
		environment->list[at] = environment->list[at + 1];
}

int environment_apply(struct arena *arena, struct texts *environment, const char *entry,
		      struct error *err)
{
	const char *value;

	if (*entry == '\0' || *entry == '=')
		return error_set(err, -EINVAL, "--env is KEY=VALUE or KEY, not \"%s\"", entry);
	if (strchr(entry, '=')) {
		environment_set(arena, environment, entry);
		return 0;
	}
	value = getenv(entry);
	if (value)
		environment_set(arena, environment, arena_print(arena, "%s=%s", entry, value));
	else
		remove_key(environment, entry);
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static int apply_line(struct arena *arena, struct texts *environment, const char *path,
		      unsigned number, const char *line, size_t size, struct error *err)
{
	size_t key;

	while (size > 0 && is_blank(line[0])) {
		line++;
		size--;
	}
	if (size > 0 && line[size - 1] == '\r')
		size--;
	if (size == 0 || line[0] == '#')
		return 0;
	if (memchr(line, '\0', size))
		return error_set(err, -EINVAL, "%s:%u has a zero byte", path, number);
	line = arena_text(arena, line, size);
	key = key_size(line);
	if (key == 0)
		return error_set(err, -EINVAL, "%s:%u has no name before the '='", path, number);
	if (strcspn(line, " \t") < key)
		return error_set(err, -EINVAL, "%s:%u: the name \"%.*s\" has a blank in it", path,
				 number, key < 80 ? (int)key : 80, line);
	return environment_apply(arena, environment, line, err);
}

int environment_apply_file(struct arena *arena, struct texts *environment, const char *path,
			   const char *text, size_t size, struct error *err)
{
	static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, from some editors */
	unsigned number = 1;

	if (size >= 3 && memcmp(text, mark, 3) == 0) {
		text += 3;
		size -= 3;
	}
	for (; size > 0; number++) {
		const char *end = memchr(text, '\n', size);
		size_t length = end ? (size_t)(end - text) : size;
		int result = apply_line(arena, environment, path, number, text, length, err);

		if (result < 0)
			return result;
		length += end != NULL;
		text += length;
		size -= length;
	}
	return 0;
}

#include "runtime/mount_flags.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/parse.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static int check_target(const char *flag, const char *text, const char *target, struct error *err)
{
	if (target[0] != '/')
		return error_set(err, -EINVAL,
				 "%s %.100s: the path in the container, \"%.60s\", does not begin "
				 "with /",
				 flag, text, target);
	if (strspn(target, "/") == strlen(target))
		return error_set(err, -EINVAL, "%s %.100s: nothing can be mounted over /", flag,
				 text);
	return 0;
}

/* A path of the host is one that begins with / or . or ~ (the shell's part); other words are names
 * of volumes. */
static int set_source(struct arena *arena, const char *flag, const char *source,
		      struct mount_flag *out, struct error *err)
{
	char folder[PATH_MAX];
	int result;

	if (source[0] == '/' || source[0] == '.') {
		out->kind = MOUNT_BIND;
		out->source = source;
		if (source[0] == '/')
			return 0;
		result = (int)sys_result(getcwd(folder, sizeof folder) ? 0 : -1);
		if (result < 0)
			return error_set(err, result, "%s %.100s: the current folder: %s", flag,
					 source, sys_text(result));
		out->source = arena_print(arena, "%s/%s", folder, source);
		return 0;
	}
	out->kind = MOUNT_VOLUME;
	out->source = source;
	return parse_volume_name(source, err);
}

static bool is_word_of(const char *word, size_t size, const char *const *list)
{
	for (; *list; list++)
		if (strlen(*list) == size && strncmp(word, *list, size) == 0)
			return true;
	return false;
}

static bool set_cache(const char *word, size_t size, struct mount_flag *out)
{
	static const char *const names[] = { [MOUNT_CACHE_AUTO] = "auto",
					     [MOUNT_CACHE_ALWAYS] = "always",
					     [MOUNT_CACHE_NEVER] = "never" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strlen(names[i]) == size && strncmp(word, names[i], size) == 0) {
			out->cache = (enum mount_cache)i;
			return true;
		}
	}
	return false;
}

/* A guest that remembers everything would be told of changes, and then not see them. */
static int check_notify(const char *flag, const char *text, const struct mount_flag *out,
			struct error *err)
{
	if (!out->notify)
		return 0;
	if (out->kind != MOUNT_BIND && out->kind != MOUNT_VOLUME)
		return error_set(err, -EINVAL,
				 "%s %.120s: notify is for what others can change: a path of the "
				 "host or a named volume",
				 flag, text);
	if (out->cache == MOUNT_CACHE_ALWAYS)
		return error_set(err, -EINVAL,
				 "%s %.120s: notify does not go with cache=always, which says that "
				 "nobody else changes it",
				 flag, text);
	return 0;
}

/* Options of -v, separated by commas. */
static int set_options(const char *text, const char *list, struct mount_flag *out,
		       struct error *err)
{
	/* of hosts where a share is not at once the same on both sides; here it is. z and Z: the
	 * server of a share has the labels of the user who runs katavm. */
	static const char *const nothing_to_do[] = { "rw",         "cached",   "delegated",
						     "consistent", "z",        "Z",
						     "private",    "rprivate", NULL };

	while (*list) {
		size_t size = strcspn(list, ",");

		if (strncmp(list, "ro", size) == 0 && size == 2)
			out->read_only = true;
		else if (strncmp(list, "nocopy", size) == 0 && size == 6)
			out->no_copy = true;
		else if (strncmp(list, "notify", size) == 0 && size == 6)
			out->notify = true;
		else if (size > 0 && !is_word_of(list, size, nothing_to_do) &&
			 !(size > 6 && strncmp(list, "cache=", 6) == 0 &&
			   set_cache(list + 6, size - 6, out)))
			return error_set(
			    err, -EINVAL,
			    "--volume %.100s: \"%.*s\" is not an option of a share: ro, "
			    "rw, nocopy, notify and cache=auto|always|never are",
			    text, (int)(size < 40 ? size : 40), list);
		list += size + (list[size] == ',');
	}
	return 0;
}

int mount_flag_volume(const char *text, struct arena *arena, struct mount_flag *out,
		      struct error *err)
{
	const char *first = strchr(text, ':');
	const char *target = first ? first + 1 : text, *second = strchr(target, ':');
	int result;

	*out = (struct mount_flag){ .kind = MOUNT_ANONYMOUS, .make_source = true };
	out->target =
	    arena_text(arena, target, second ? (size_t)(second - target) : strlen(target));
	if (first == text || (first && !*out->target))
		return error_set(err, -EINVAL,
				 "--volume %.150s: it is written HOST-PATH:PATH, NAME:PATH or PATH",
				 text);
	result = check_target("--volume", text, out->target, err);
	if (result == 0 && first)
		result = set_source(arena, "--volume",
				    arena_text(arena, text, (size_t)(first - text)), out, err);
	if (result == 0 && second)
		result = set_options(text, second + 1, out, err);
	return result < 0 ? result : check_notify("--volume", text, out, err);
}

/* ---- --mount ---- */

struct field {
	const char *key, *value; /* value: NULL without a = */
};

static int set_kind(const char *text, const char *value, struct mount_flag *out, struct error *err)
{
	if (value && strcmp(value, "bind") == 0)
		out->kind = MOUNT_BIND;
	else if (value && strcmp(value, "volume") == 0)
		out->kind = MOUNT_ANONYMOUS; /* unless a source follows */
	else if (value && strcmp(value, "tmpfs") == 0)
		out->kind = MOUNT_TMPFS;
	else
		return error_set(err, -EINVAL, "--mount %.150s: type is bind, volume or tmpfs",
				 text);
	return 0;
}

static bool is_true(const char *value)
{
	return !value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
}

static bool is_one_of(const char *key, const char *a, const char *b, const char *c)
{
	return strcmp(key, a) == 0 || strcmp(key, b) == 0 || strcmp(key, c) == 0;
}

static int set_field(const char *text, const struct field *field, struct arena *arena,
		     struct mount_flag *out, struct error *err)
{
	const char *key = field->key, *value = field->value;

	if (is_one_of(key, "readonly", "ro", "ro")) {
		out->read_only = is_true(value);
	} else if (strcmp(key, "volume-nocopy") == 0) {
		out->no_copy = is_true(value);
	} else if (strcmp(key, "notify") == 0) {
		out->notify = is_true(value);
	} else if (!value || !*value) {
		return error_set(err, -EINVAL, "--mount %.120s: \"%.40s\" needs a value", text,
				 key);
	} else if (strcmp(key, "type") == 0) {
		return set_kind(text, value, out, err);
	} else if (is_one_of(key, "source", "src", "src")) {
		out->source = value;
	} else if (is_one_of(key, "target", "destination", "dst")) {
		out->target = value;
	} else if (strcmp(key, "cache") == 0) {
		if (!set_cache(value, strlen(value), out))
			return error_set(err, -EINVAL,
					 "--mount %.120s: cache is auto, always or never", text);
	} else if (strcmp(key, "tmpfs-size") == 0) {
		out->options = arena_print(arena, "%s,size=%s", out->options, value);
	} else if (strcmp(key, "tmpfs-mode") == 0) {
		out->options = arena_print(arena, "%s,mode=%s", out->options, value);
	} else {
		return error_set(err, -EINVAL, "--mount %.120s: \"%.40s\" is not known here", text,
				 key);
	}
	return 0;
}

static int check_mount(const char *text, struct arena *arena, struct mount_flag *out,
		       struct error *err)
{
	enum mount_kind kind = out->kind;
	int result;

	if (!out->target)
		return error_set(err, -EINVAL, "--mount %.150s: it has no target=PATH", text);
	result = check_target("--mount", text, out->target, err);
	if (result < 0)
		return result;
	if (kind == MOUNT_BIND && !out->source)
		return error_set(err, -EINVAL, "--mount %.150s: a bind has a source=PATH", text);
	if (kind == MOUNT_TMPFS && out->source)
		return error_set(err, -EINVAL, "--mount %.150s: a tmpfs has no source", text);
	if (kind == MOUNT_BIND && out->source[0] != '/' && out->source[0] != '.')
		return error_set(err, -EINVAL,
				 "--mount %.120s: the source of a bind is a path: \"./%.50s\"?",
				 text, out->source);
	if (kind == MOUNT_ANONYMOUS && out->source && strchr(out->source, '/'))
		return error_set(err, -EINVAL,
				 "--mount %.150s: the source of a volume is a name, not a path",
				 text);
	result = out->source ? set_source(arena, "--mount", out->source, out, err) : 0;
	return result < 0 ? result : check_notify("--mount", text, out, err);
}

int mount_flag_mount(const char *text, struct arena *arena, struct mount_flag *out,
		     struct error *err)
{
	char *rest = arena_text(arena, text, strlen(text)), *word;
	int result = 0;

	*out = (struct mount_flag){ .kind = MOUNT_ANONYMOUS, .options = "" };
	while (result == 0 && (word = strsep(&rest, ","))) {
		struct field field = { .key = word };
		char *equal = strchr(word, '=');

		if (equal) {
			*equal = '\0';
			field.value = equal + 1;
		}
		result = set_field(text, &field, arena, out, err);
	}
	return result < 0 ? result : check_mount(text, arena, out, err);
}

static int mount_flag_tmpfs(const char *text, struct arena *arena, struct mount_flag *out,
			    struct error *err)
{
	size_t size = strcspn(text, ":");

	*out = (struct mount_flag){ .kind = MOUNT_TMPFS,
				    .target = arena_text(arena, text, size),
				    .options = text[size] ? text + size + 1 : "" };
	return check_target("--tmpfs", text, out->target, err);
}

/* ---- all of them ---- */

static bool same_path(const char *left, const char *right)
{
	for (;;) {
		while (left[0] == '/' && (left[1] == '/' || left[1] == '\0'))
			left++;
		while (right[0] == '/' && (right[1] == '/' || right[1] == '\0'))
			right++;
		if (*left != *right)
			return false;
		if (*left == '\0')
			return true;
		left++;
		right++;
	}
}

typedef int parse_one(const char *text, struct arena *arena, struct mount_flag *out,
		      struct error *err);

static int add_all(const struct options *options, const char *name, parse_one *parse,
		   struct arena *arena, struct mount_flags *out, struct error *err)
{
	size_t cursor = 0;
	const char *text;
	int result = 0;

	while (result == 0 && (text = options_next(options, name, &cursor))) {
		struct mount_flag *flag = &out->list[out->count];

		result = parse(text, arena, flag, err);
		for (size_t i = 0; result == 0 && i < out->count; i++)
			if (same_path(out->list[i].target, flag->target))
				return error_set(err, -EINVAL,
						 "two mounts at the same place in the container: "
						 "%.150s",
						 flag->target);
		out->count++;
	}
	return result;
}

int mount_flags_parse(const struct options *options, struct arena *arena, struct mount_flags *out,
		      struct error *err)
{
	int result;

	*out = (struct mount_flags){ 0 };
	if (options->item_count == 0)
		return 0;
	out->list = arena_alloc(arena, options->item_count * sizeof *out->list);
	result = add_all(options, "volume", mount_flag_volume, arena, out, err);
	if (result == 0)
		result = add_all(options, "mount", mount_flag_mount, arena, out, err);
	if (result == 0)
		result = add_all(options, "tmpfs", mount_flag_tmpfs, arena, out, err);
	return result;
}

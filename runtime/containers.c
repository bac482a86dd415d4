#include "runtime/containers.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/lock.h"
#include "runtime/monitor.h"
#include "runtime/state.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { ENTRY_MAX = 64 << 10 };

static void copy_field(struct json_object *top, const char *key, char *out, size_t size)
{
	struct json_object *value = NULL;
	const char *text = NULL;

	if (json_object_object_get_ex(top, key, &value) &&
	    json_object_is_type(value, json_type_string))
		text = json_object_get_string(value);
	(void)snprintf(out, size, "%s", text ? text : "");
}

/* False: not the state of a container, or one that is not whole yet. */
static bool parse_entry(const char *text, struct container_entry *out)
{
	struct json_object *top = json_tokener_parse(text), *pid = NULL;

	copy_field(top, "id", out->id, sizeof out->id);
	copy_field(top, "name", out->name, sizeof out->name);
	copy_field(top, "image", out->image, sizeof out->image);
	copy_field(top, "socket", out->socket, sizeof out->socket);
	out->pid = json_object_object_get_ex(top, "pid", &pid) ? json_object_get_int(pid) : 0;
	if (!*out->name)
		(void)snprintf(out->name, sizeof out->name, "%.12s", out->id);
	(void)json_object_put(top);
	return *out->id && *out->socket && out->pid > 0;
}

static bool read_entry(int fd, struct container_entry *out)
{
	own_mem char *text = malloc(ENTRY_MAX + 1);
	long size = text ? SYS_RETRY(pread, fd, text, ENTRY_MAX, 0) : 0;

	if (size <= 0)
		return false;
	text[size] = '\0';
	return parse_entry(text, out);
}

static bool is_running(int folder, const char *file, struct container_entry *out)
{
	own_fd fd = sys_open(folder, file, O_RDONLY | O_NOFOLLOW, 0);

	return fd >= 0 && lock_is_held(fd) && read_entry(fd, out);
}

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);

	return size > end_size && strcmp(text + size - end_size, end) == 0;
}

static int open_folder(DIR **out, struct error *err)
{
	char path[PATH_MAX];
	int result = state_folder(path, err);

	if (result < 0)
		return result;
	*out = opendir(path);
	if (!*out) {
		result = (int)sys_error();
		return error_set(err, result, "open the folder %.150s: %s", path, sys_text(result));
	}
	return 0;
}

int containers_visit(int (*visit)(void *context, const struct container_entry *entry),
		     void *context, struct error *err)
{
	own_dir *folder = NULL;
	const struct dirent *file;
	int result = open_folder(&folder, err);

	while (result == 0 && folder && (file = readdir(folder))) {
		struct container_entry entry;

		if (ends_with(file->d_name, ".json") &&
		    is_running(dirfd(folder), file->d_name, &entry))
			result = visit(context, &entry);
	}
	return result;
}

struct search {
	const char *wanted;
	struct container_entry *out;
	unsigned found; /* by the beginning of their ids */
};

static int compare(void *context, const struct container_entry *entry)
{
	struct search *search = context;

	if (strcmp(entry->name, search->wanted) == 0) {
		*search->out = *entry;
		search->found = 1;
		return 1;
	}
	if (*search->wanted && strncmp(entry->id, search->wanted, strlen(search->wanted)) == 0) {
		*search->out = *entry;
		search->found++;
	}
	return 0;
}

int container_find(const char *wanted, struct container_entry *out, struct error *err)
{
	struct search search = { .wanted = wanted, .out = out };
	int result = containers_visit(compare, &search, err);

	if (result < 0)
		return result;
	if (search.found == 0)
		return error_set(err, -ENOENT, "no container \"%.100s\" is running", wanted);
	if (search.found > 1)
		return error_set(err, -ENOTUNIQ,
				 "%u running containers have ids that begin with %s", search.found,
				 wanted);
	return 0;
}

int container_call(const char *wanted, const char *method, struct json_object *parameters,
		   int timeout_ms, struct json_object **result, struct error *err)
{
	struct container_entry entry;
	int r = container_find(wanted, &entry, err);

	if (r == 0)
		r = monitor_call(entry.socket, method, parameters, timeout_ms, result, err);
	(void)json_object_put(parameters);
	return r;
}

static void sweep(int folder, const char *file)
{
	own_fd fd = sys_open(folder, file, O_RDWR | O_NOFOLLOW, 0);
	struct container_entry entry;

	if (fd < 0 || lock_is_held(fd) || !state_take(fd, folder, file))
		return;
	if (read_entry(fd, &entry))
		(void)SYS(unlink, entry.socket);
	(void)SYS(unlinkat, folder, file, 0);
}

void containers_sweep(void)
{
	own_dir *folder = NULL;
	const struct dirent *file;
	struct error err;

	if (open_folder(&folder, &err) < 0)
		return;
	while (folder && (file = readdir(folder)))
		if (ends_with(file->d_name, ".json"))
			sweep(dirfd(folder), file->d_name);
}

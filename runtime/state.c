#include "runtime/state.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/lock.h"
#include "runtime/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BOOT_LOGS_KEPT = 10 };

/* The state folder's sub-folder `name`, made when missing. */
static int make_folder(const char *name, char path[PATH_MAX], struct error *err)
{
	size_t size;
	int result = paths_state(path, err);

	if (result < 0)
		return result;
	(void)SYS(mkdir, path, 0700);
	size = strlen(path);
	if (snprintf(path + size, PATH_MAX - size, "/%s", name) >= (int)(PATH_MAX - size))
		return error_set(err, -ENAMETOOLONG, "the state folder's path is too long");
	result = (int)SYS(mkdir, path, 0700);
	if (result < 0 && result != -EEXIST)
		return error_set(err, result, "make the folder %.150s: %s", path, sys_text(result));
	return 0;
}

static int write_entry(int fd, const struct run_config *config, const char *socket)
{
	struct json_object *top = json_object_new_object(), *labels = json_object_new_object();
	const char *text;
	int result;

	for (size_t i = 0; i < config->labels.count; i++) {
		const char *label = config->labels.list[i];
		size_t size = strcspn(label, "=");
		own_mem char *key = strndup(label, size);

		if (key)
			(void)json_object_object_add(
			    labels, key,
			    json_object_new_string(label[size] ? label + size + 1 : ""));
	}
	(void)json_object_object_add(top, "id", json_object_new_string(config->id));
	(void)json_object_object_add(top, "name",
				     config->name ? json_object_new_string(config->name) : NULL);
	(void)json_object_object_add(top, "image", json_object_new_string(config->image));
	(void)json_object_object_add(top, "pid", json_object_new_int(getpid()));
	(void)json_object_object_add(top, "socket", json_object_new_string(socket));
	(void)json_object_object_add(top, "labels", labels);
	text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PLAIN |
						       JSON_C_TO_STRING_NOSLASHESCAPE);
	result = (int)SYS(ftruncate, fd, 0);
	if (result == 0)
		result = sys_pwrite_all(fd, text, strlen(text), 0);
	(void)json_object_put(top);
	return result;
}

int state_folder(char path[PATH_MAX], struct error *err)
{
	return make_folder("containers", path, err);
}

/* 1: locked, and it is still the file of that name. 0: it has just been removed. */
static int take(int fd, int folder, const char *file)
{
	struct stat held, named;
	int result = lock_take(fd, true);

	if (result < 0)
		return result;
	if (SYS(fstat, fd, &held) < 0 || SYS(fstatat, folder, file, &named, 0) < 0)
		return 0;
	return held.st_ino == named.st_ino;
}

bool state_take(int fd, int folder, const char *file)
{
	return take(fd, folder, file) == 1;
}

static int name_files(const struct run_config *config, struct state *out, struct error *err)
{
	char folder[PATH_MAX];
	int result = state_folder(folder, err);

	if (result < 0)
		return result;
	if (snprintf(out->path, sizeof out->path, "%s/%s.json", folder,
		     config->name ? config->name : config->id) >= (int)sizeof out->path ||
	    snprintf(out->socket, sizeof out->socket, "%s/%.12s.sock", folder, config->id) >=
		(int)sizeof out->socket)
		return error_set(err, -ENAMETOOLONG, "the state folder's path is too long");
	return 0;
}

/* A file that was there is of a katavm that was killed, and so is the socket it names. */
static void drop_socket(int fd)
{
	struct json_object *top, *socket = NULL;
	char text[32 << 10];
	long size = SYS_RETRY(pread, fd, text, sizeof text - 1, 0);

	if (size <= 0)
		return;
	text[size] = '\0';
	top = json_tokener_parse(text);
	if (json_object_object_get_ex(top, "socket", &socket))
		(void)SYS(unlink, json_object_get_string(socket));
	(void)json_object_put(top);
}

int state_open(const struct run_config *config, struct state *out, struct error *err)
{
	int result = name_files(config, out, err);

	while (result == 0) {
		own_fd fd = sys_open(AT_FDCWD, out->path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);

		if (fd < 0)
			return error_set(err, fd, "open %.150s: %s", out->path, sys_text(fd));
		result = take(fd, AT_FDCWD, out->path);
		if (result == -EWOULDBLOCK)
			return error_set(err, -EEXIST,
					 "the name \"%s\" is in use by a running container",
					 config->name ? config->name : config->id);
		if (result < 0)
			return error_set(err, result, "lock %.150s: %s", out->path,
					 sys_text(result));
		if (result == 0) /* removed in between: the next one */
			continue;
		drop_socket(fd);
		result = write_entry(fd, config, out->socket);
		if (result < 0)
			return error_set(err, result, "write %.150s: %s", out->path,
					 sys_text(result));
		out->fd = take_fd(&fd);
		return 0;
	}
	return result;
}

void state_close(struct state *state)
{
	if (state->fd < 0)
		return;
	(void)SYS(unlink, state->path); /* while it is locked: nobody else's file is removed */
	(void)close(state->fd);
	state->fd = -1;
}

/* Calls of this go from newest to oldest only by the time in the file's status. */
struct newest {
	char name[256];
	struct timespec time;
	size_t count;
	char oldest[256];
	struct timespec oldest_time;
};

static bool later(const struct timespec *left, const struct timespec *right)
{
	return left->tv_sec != right->tv_sec ? left->tv_sec > right->tv_sec
					     : left->tv_nsec > right->tv_nsec;
}

static void look_through(const char *folder, const char *prefix, struct newest *out)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;

	*out = (struct newest){ 0 };
	while (dir && (entry = readdir(dir))) {
		struct stat status;

		if (entry->d_name[0] == '.' ||
		    strncmp(entry->d_name, prefix, strlen(prefix)) != 0 ||
		    SYS(fstatat, dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (out->count == 0 || later(&status.st_mtim, &out->time)) {
			(void)snprintf(out->name, sizeof out->name, "%s", entry->d_name);
			out->time = status.st_mtim;
		}
		if (out->count == 0 || later(&out->oldest_time, &status.st_mtim)) {
			(void)snprintf(out->oldest, sizeof out->oldest, "%s", entry->d_name);
			out->oldest_time = status.st_mtim;
		}
		out->count++;
	}
	if (dir)
		(void)closedir(dir);
}

static void drop_oldest(const char *folder)
{
	char path[PATH_MAX];
	struct newest logs;

	for (look_through(folder, "", &logs); logs.count >= BOOT_LOGS_KEPT;
	     look_through(folder, "", &logs)) {
		if (snprintf(path, sizeof path, "%s/%s", folder, logs.oldest) >= (int)sizeof path ||
		    SYS(unlink, path) < 0)
			return;
	}
}

int state_boot_log_open(const char *id, int *out_fd, char *path, size_t path_size,
			struct error *err)
{
	char folder[PATH_MAX];
	int result = make_folder("boot", folder, err), fd;

	if (result < 0)
		return result;
	drop_oldest(folder);
	if (snprintf(path, path_size, "%s/%s", folder, id) >= (int)path_size)
		return error_set(err, -ENAMETOOLONG, "the state folder's path is too long");
	fd = sys_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(err, fd, "open %.150s: %s", path, sys_text(fd));
	*out_fd = fd;
	return 0;
}

int state_boot_log_find(const char *id, char *path, size_t path_size, struct error *err)
{
	char folder[PATH_MAX];
	struct newest logs;
	int result = make_folder("boot", folder, err);

	if (result < 0)
		return result;
	look_through(folder, id, &logs);
	if (logs.count == 0)
		return error_set(err, -ENOENT,
				 *id ? "there is no boot log of %.64s"
				     : "no start has failed: there is no boot log%s",
				 id);
	if (snprintf(path, path_size, "%s/%s", folder, logs.name) >= (int)path_size)
		return error_set(err, -ENAMETOOLONG, "the state folder's path is too long");
	return 0;
}

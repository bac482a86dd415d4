/*
 * A volume appears and disappears by rename, so that one of that name is whole whenever it is
 * there: what is being made or removed has a name that begins with a dot.
 */
#include "runtime/volume.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/lock.h"
#include "runtime/parse.h"
#include "runtime/paths.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define DATA   "data"
#define RECORD "volume.json"
/* beside the data, from which they are looked up */
#define FILLING "../filling"
#define FILLED  "../filled"
enum { RECORD_MAX = 64 << 10, TRIES = 20 };

/* The folder of all volumes, made when missing. */
static int open_folder(const char *root, char path[PATH_MAX], struct error *err)
{
	int result = paths_root(root, path, err), fd;
	size_t size;

	if (result < 0)
		return result;
	(void)SYS(mkdir, path, 0700);
	size = strlen(path);
	if (snprintf(path + size, PATH_MAX - size, "/volumes") >= (int)(PATH_MAX - size))
		return error_set(err, -ENAMETOOLONG, "the path of the volumes is too long");
	(void)SYS(mkdir, path, 0700);
	fd = sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return error_set(err, fd, "open the folder %.180s: %s", path, sys_text(fd));
	return fd;
}

static int fail(struct error *err, int code, const char *what, const char *name)
{
	return error_set(err, code, "volume %.100s: %s: %s", name, what, sys_text(code));
}

/* ---- making ---- */

static int write_record(int dir, struct json_object *labels)
{
	own_fd fd = sys_open(dir, RECORD, O_WRONLY | O_CREAT | O_EXCL, 0600);
	struct json_object *top = json_object_new_object();
	const char *text;
	int result;

	(void)json_object_object_add(top, "labels",
				     labels ? json_object_get(labels) : json_object_new_object());
	text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PLAIN);
	result = fd < 0 ? fd : sys_write_all(fd, text, strlen(text));
	(void)json_object_put(top);
	return result;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

static void remove_tree(int folder, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof path, "/proc/self/fd/%d/%s", folder, name) < (int)sizeof path)
		(void)nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

static int make_hidden(int folder, struct json_object *labels, char hidden[32])
{
	own_fd dir = -1;
	uint64_t number = 0;
	int result;

	(void)SYS_RETRY(getrandom, &number, sizeof number, 0);
	(void)snprintf(hidden, 32, ".new-%016llx", (unsigned long long)number);
	result = (int)SYS(mkdirat, folder, hidden, 0700);
	if (result < 0)
		return result;
	dir = sys_open(folder, hidden, O_RDONLY | O_DIRECTORY, 0);
	result = dir < 0 ? dir : (int)SYS(mkdirat, dir, DATA, 0755);
	return result < 0 ? result : write_record(dir, labels);
}

static int make(int folder, const char *name, struct json_object *labels, bool *made,
		struct error *err)
{
	char hidden[32];
	int result = (int)SYS(faccessat, folder, name, F_OK, 0);

	*made = false;
	if (result != -ENOENT)
		return result < 0 ? fail(err, result, "look for it", name) : 0;
	result = make_hidden(folder, labels, hidden);
	if (result == 0)
		result = (int)SYS(renameat2, folder, hidden, folder, name, RENAME_NOREPLACE);
	*made = result == 0;
	if (result < 0)
		remove_tree(folder, hidden);
	return result < 0 && result != -EEXIST ? fail(err, result, "make it", name) : 0;
}

int volume_create(const char *root, const char *name, struct json_object *labels, bool *made,
		  struct error *err)
{
	char path[PATH_MAX];
	own_fd folder = -1;
	int result = parse_volume_name(name, err);

	if (result < 0)
		return result;
	folder = open_folder(root, path, err);
	return folder < 0 ? folder : make(folder, name, labels, made, err);
}

/* ---- using ---- */

/* 1: locked and still the volume of that name, whose folder is *dir. 0: it was removed in between.
 */
static int take(int folder, const char *name, bool exclusive, int *dir, int *lock)
{
	own_fd volume = sys_open(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	own_fd file = volume < 0 ? volume : sys_open(volume, RECORD, O_RDWR | O_NOFOLLOW, 0);
	struct stat held, named;
	int result = file < 0 ? file : lock_take(file, exclusive);

	if (result < 0)
		return result;
	if (SYS(fstat, volume, &held) < 0 ||
	    SYS(fstatat, folder, name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    held.st_ino != named.st_ino)
		return 0;
	*dir = take_fd(&volume);
	*lock = take_fd(&file);
	return 1;
}

int volume_open(const char *root, const char *name, struct volume *out, struct error *err)
{
	char path[PATH_MAX];
	own_fd folder = -1, dir = -1, lock = -1;
	int result = parse_volume_name(name, err), data;
	bool made = false;

	*out = VOLUME_CLOSED;
	if (result < 0)
		return result;
	folder = open_folder(root, path, err);
	if (folder < 0)
		return folder;
	result = 0;
	for (int i = 0; i < TRIES && (result == 0 || result == -ENOENT); i++) {
		result = make(folder, name, NULL, &made, err);
		if (result < 0)
			return result;
		result = take(folder, name, false, &dir, &lock);
	}
	if (result != 1)
		return fail(err, result < 0 ? result : -EAGAIN, "it is being removed", name);
	data = sys_open(dir, DATA, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (data < 0)
		return fail(err, data, "open its data", name);
	*out = VOLUME_CLOSED;
	out->fd = data;
	out->lock_fd = take_fd(&lock);
	out->made = made;
	return 0;
}

static bool is_empty(int folder)
{
	int fd = sys_open(folder, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *file;
	bool empty = dir;

	while (empty && (file = readdir(dir)))
		empty = strcmp(file->d_name, ".") == 0 || strcmp(file->d_name, "..") == 0;
	if (dir)
		(void)closedir(dir);
	else
		own_fd_release(&fd);
	return empty;
}

/* ---- filling ---- */

/* 1: we hold it, and it is still the file of that name. 0: another had it until just now. */
static int take_filling(const struct volume *volume, int *out)
{
	own_fd fd = sys_open(volume->fd, FILLING, O_RDWR | O_NOFOLLOW, 0);
	struct stat held, named;
	int result;

	if (fd == -ENOENT && !is_empty(volume->fd))
		return -ENOTEMPTY;
	if (fd == -ENOENT)
		fd = sys_open(volume->fd, FILLING, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	result = fd < 0 ? fd : lock_take(fd, true);
	if (result < 0)
		return result;
	if (SYS(fstat, fd, &held) < 0 ||
	    SYS(fstatat, volume->fd, FILLING, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    held.st_ino != named.st_ino)
		return 0;
	*out = take_fd(&fd);
	return 1;
}

bool volume_wants_content(struct volume *volume)
{
	int result = 0;

	for (int i = 0; i < TRIES && result == 0; i++) {
		if (SYS(faccessat, volume->fd, FILLED, F_OK, 0) != -ENOENT)
			return false;
		result = take_filling(volume, &volume->fill_fd);
	}
	return result == 1;
}

/* Of who fills next the copy is asked for again if this fails, which changes nothing that is there.
 */
void volume_filled(struct volume *volume)
{
	if (volume->fill_fd < 0)
		return;
	(void)SYS(renameat, volume->fd, FILLING, volume->fd, FILLED);
	close_fd(&volume->fill_fd);
}

/* A copy that never began is none that was cut off. */
static void give_up_filling(struct volume *volume)
{
	if (volume->fill_fd >= 0 && is_empty(volume->fd))
		(void)SYS(unlinkat, volume->fd, FILLING, 0);
	own_fd_release(&volume->fill_fd);
}

void volume_close(struct volume *volume)
{
	give_up_filling(volume);
	own_fd_release(&volume->fd);
	own_fd_release(&volume->lock_fd);
	*volume = VOLUME_CLOSED;
}

int volume_remove(const char *root, const char *name, struct error *err)
{
	char path[PATH_MAX], hidden[32];
	own_fd folder = -1, dir = -1, lock = -1;
	uint64_t number = 0;
	int result = parse_volume_name(name, err);

	if (result < 0)
		return result;
	folder = open_folder(root, path, err);
	if (folder < 0)
		return folder;
	result = take(folder, name, true, &dir, &lock);
	if (result == -EWOULDBLOCK)
		return error_set(err, -EBUSY, "volume %.100s: a running container uses it", name);
	if (result == 0 || result == -ENOENT)
		return error_set(err, -ENOENT, "there is no volume \"%.100s\"", name);
	if (result < 0)
		return fail(err, result, "lock it", name);
	(void)SYS_RETRY(getrandom, &number, sizeof number, 0);
	(void)snprintf(hidden, sizeof hidden, ".old-%016llx", (unsigned long long)number);
	result = (int)SYS(renameat, folder, name, folder, hidden);
	if (result < 0)
		return fail(err, result, "remove it", name);
	remove_tree(folder, hidden);
	return 0;
}

/* ---- looking ---- */

static struct json_object *read_labels(int fd)
{
	own_mem char *text = malloc(RECORD_MAX + 1);
	struct json_object *top = NULL, *labels = NULL;
	long size = text ? SYS_RETRY(read, fd, text, RECORD_MAX) : 0;

	if (size > 0) {
		text[size] = '\0';
		top = json_tokener_parse(text);
	}
	if (json_object_object_get_ex(top, "labels", &labels) &&
	    json_object_is_type(labels, json_type_object))
		labels = json_object_get(labels);
	else
		labels = json_object_new_object();
	(void)json_object_put(top);
	return labels;
}

static int visit_one(int folder, const char *path, const char *name,
		     int (*visit)(void *context, const struct volume_entry *entry), void *context)
{
	own_fd dir = sys_open(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	own_fd fd = dir < 0 ? dir : sys_open(dir, RECORD, O_RDONLY | O_NOFOLLOW, 0);
	struct volume_entry entry = { .name = name };
	struct stat status;
	int result;

	if (fd < 0 || SYS(fstat, fd, &status) < 0)
		return 0; /* removed just now, or nothing of ours */
	if (snprintf(entry.path, sizeof entry.path, "%s/%s/" DATA, path, name) >=
	    (int)sizeof entry.path)
		return -ENAMETOOLONG;
	entry.in_use = lock_is_held(fd);
	entry.made = status.st_mtim;
	entry.labels = read_labels(fd);
	result = visit(context, &entry);
	(void)json_object_put(entry.labels);
	return result;
}

static int is_shown(const struct dirent *file)
{
	return file->d_name[0] != '.';
}

int volumes_visit(const char *root, int (*visit)(void *context, const struct volume_entry *entry),
		  void *context, struct error *err)
{
	char path[PATH_MAX];
	own_fd folder = open_folder(root, path, err);
	struct dirent **files = NULL;
	int count, result = 0;

	if (folder < 0)
		return folder;
	count = scandirat(folder, ".", &files, is_shown, alphasort);
	for (int i = 0; i < count; i++) {
		if (result == 0)
			result = visit_one(folder, path, files[i]->d_name, visit, context);
		free(files[i]);
	}
	free(files);
	return result;
}

struct search {
	const char *name;
	int (*visit)(void *context, const struct volume_entry *entry);
	void *context;
	bool found;
};

static int compare(void *context, const struct volume_entry *entry)
{
	struct search *search = context;

	if (strcmp(entry->name, search->name) != 0)
		return 0;
	search->found = true;
	return search->visit(search->context, entry);
}

int volume_find(const char *root, const char *name,
		int (*visit)(void *context, const struct volume_entry *entry), void *context,
		struct error *err)
{
	struct search search = { .name = name, .visit = visit, .context = context };
	int result = volumes_visit(root, compare, &search, err);

	if (result == 0 && !search.found)
		return error_set(err, -ENOENT, "there is no volume \"%.100s\"", name);
	return result;
}

#include "runtime/image/store.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/digest.h"
#include "runtime/image/document.h"
#include "runtime/layer/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { KEEP_DOWNLOADS_S = 7 * 24 * 3600 };

int image_root(const char *root, char **out, struct error *err)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int n;

	if (root && *root)
		n = asprintf(&path, "%s", root);
	else if (geteuid() == 0)
		n = asprintf(&path, "/var/lib/katavm");
	else if (data && data[0] == '/')
		n = asprintf(&path, "%s/katavm", data);
	else if (home && home[0] == '/')
		n = asprintf(&path, "%s/.local/share/katavm", home);
	else
		return error_set(err, -ENOENT,
				 "no folder for images: set HOME or XDG_DATA_HOME, or give --root");
	if (n < 0)
		return error_set(err, -ENOMEM, "out of memory");
	*out = path;
	return 0;
}

static int make_parents(char *path)
{
	for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		long r;

		*at = '\0';
		r = SYS(mkdir, path, 0755);
		*at = '/';
		if (r < 0 && r != -EEXIST)
			return (int)r;
	}
	return 0;
}

static int open_folder(int at, const char *name, int *out)
{
	long r = SYS(openat, at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (r == -ENOENT) {
		r = SYS(mkdirat, at, name, 0700);
		if (r == 0 || r == -EEXIST)
			r = SYS(openat, at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (r >= 0)
		*out = (int)r;
	return r < 0 ? (int)r : 0;
}

static int open_all(struct store *store)
{
	int r = open_folder(AT_FDCWD, store->root, &store->root_fd);

	if (r == -ENOENT) {
		r = make_parents(store->root);
		if (r == 0)
			r = open_folder(AT_FDCWD, store->root, &store->root_fd);
	}
	if (r == 0)
		r = open_folder(store->root_fd, "refs", &store->refs_fd);
	if (r == 0)
		r = open_folder(store->root_fd, "images", &store->images_fd);
	if (r == 0)
		r = open_folder(store->root_fd, "blobs/sha256", &store->blobs_fd);
	if (r == -ENOENT) { /* its parent comes first */
		int blobs = -1;

		r = open_folder(store->root_fd, "blobs", &blobs);
		if (r == 0) {
			r = open_folder(blobs, "sha256", &store->blobs_fd);
			(void)close(blobs);
		}
	}
	if (r == 0)
		r = open_folder(store->root_fd, "layers", &store->layers_fd);
	if (r == 0)
		r = open_folder(store->root_fd, "tmp", &store->tmp_fd);
	return r;
}

int store_open(const char *root, struct store *out, struct error *err)
{
	struct store store = { NULL, -1, -1, -1, -1, -1, -1 };
	int r = image_root(root, &store.root, err);

	if (r < 0)
		return r;
	r = open_all(&store);
	if (r < 0) {
		(void)error_set(err, r, "open the image store %s: %s", store.root, sys_text(r));
		store_close(&store);
		return r;
	}
	*out = store;
	return 0;
}

void store_close(struct store *store)
{
	const int fds[] = { store->root_fd,  store->refs_fd,   store->images_fd,
			    store->blobs_fd, store->layers_fd, store->tmp_fd };

	if (!store->root)
		return;
	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	free(store->root);
	*store = (struct store){ NULL, -1, -1, -1, -1, -1, -1 };
}

int store_lock(const struct store *store, bool exclusive, int *lock, struct error *err)
{
	own_fd fd = (int)SYS(openat, store->root_fd, "lock",
			     O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	long r = fd;

	if (fd >= 0)
		r = SYS_RETRY(flock, fd, exclusive ? LOCK_EX : LOCK_SH);
	if (r < 0)
		return error_set(err, (int)r, "lock the image store %s: %s", store->root,
				 sys_text((int)r));
	*lock = take_fd(&fd);
	return 0;
}

/* Is fd still what name says, or did a cleaner unlink it before it was locked? */
static bool is_linked(int dir_fd, const char *name, int fd)
{
	struct stat by_name, by_fd;

	return fstat(fd, &by_fd) == 0 &&
	       fstatat(dir_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       by_name.st_ino == by_fd.st_ino && by_name.st_dev == by_fd.st_dev;
}

int store_temp(const struct store *store, const char *name, bool wait, int *out, struct error *err)
{
	for (;;) {
		own_fd fd = (int)SYS(openat, store->tmp_fd, name,
				     O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		long r = fd;

		if (fd >= 0)
			r = SYS_RETRY(flock, fd, LOCK_EX | (wait ? 0 : LOCK_NB));
		if (r == -EWOULDBLOCK)
			return -EAGAIN;
		if (r < 0)
			return error_set(err, (int)r, "make a file in %s/tmp: %s", store->root,
					 sys_text((int)r));
		if (is_linked(store->tmp_fd, name, fd)) {
			*out = take_fd(&fd);
			return 0;
		}
	}
}

int store_publish(const struct store *store, const char *temp_name, int fd, int to_fd,
		  const char *name, struct error *err)
{
	long r = SYS_RETRY(fsync, fd);

	if (r == 0)
		r = SYS(renameat, store->tmp_fd, temp_name, to_fd, name);
	if (r == 0)
		r = SYS_RETRY(fsync, to_fd);
	if (r < 0)
		return error_set(err, (int)r, "keep an object in %s: %s", store->root,
				 sys_text((int)r));
	return 0;
}

void store_temp_remove(const struct store *store, const char *name)
{
	(void)SYS(unlinkat, store->tmp_fd, name, 0);
}

int store_write(const struct store *store, int dir_fd, const char *name, const void *data,
		size_t size, struct error *err)
{
	static unsigned serial;
	char temp[STORE_NAME_SIZE];
	own_fd fd = -1;
	int r;

	(void)snprintf(temp, sizeof temp, "file-%d-%u", (int)getpid(), serial++);
	r = store_temp(store, temp, true, &fd, err);
	if (r < 0)
		return r;
	r = (int)SYS(ftruncate, fd, 0);
	if (r == 0)
		r = sys_write_all(fd, data, size);
	if (r < 0)
		(void)error_set(err, r, "write in %s: %s", store->root, sys_text(r));
	else
		r = store_publish(store, temp, fd, dir_fd, name, err);
	if (r < 0)
		store_temp_remove(store, temp);
	return r;
}

int store_read(int dir_fd, const char *name, char **text, size_t *size, struct error *err)
{
	own_fd fd = (int)SYS(openat, dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	own_mem char *data = NULL;
	struct stat status;
	int r = fd;

	if (fd == -ENOENT)
		return -ENOENT;
	if (fd >= 0)
		r = (int)SYS(fstat, fd, &status);
	if (r >= 0 && (!S_ISREG(status.st_mode) || status.st_size > DOCUMENT_MAX_SIZE))
		r = -EFBIG;
	if (r >= 0) {
		data = malloc((size_t)status.st_size + 1);
		r = data ? sys_read_all(fd, data, (size_t)status.st_size) : -ENOMEM;
	}
	if (r < 0)
		return error_set(err, r, "read %s of the image store: %s", name, sys_text(r));
	data[status.st_size] = '\0';
	*size = (size_t)status.st_size;
	*text = take_ptr(data);
	return 0;
}

void store_layer_name(const char *digest, char out[STORE_NAME_SIZE])
{
	(void)snprintf(out, STORE_NAME_SIZE, "%s.erofs", digest_hex(digest));
}

int store_open_layer(const struct store *store, const char *digest, struct image_layer *out,
		     struct error *err)
{
	char name[STORE_NAME_SIZE];
	struct layer_marks marks;
	struct stat status;
	long r;

	store_layer_name(digest, name);
	own_fd fd = (int)SYS(openat, store->layers_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -ENOENT)
		return -ENOENT;
	r = fd;
	if (fd >= 0)
		r = SYS_RETRY(flock, fd, LOCK_SH);
	if (r >= 0)
		r = SYS(fstat, fd, &status);
	if (r < 0)
		return error_set(err, (int)r, "open layer %s: %s", digest, sys_text((int)r));
	if (status.st_nlink == 0) /* removed between open and lock */
		return -ENOENT;
	r = layer_marks(fd, &marks);
	if (r < 0)
		return error_set(err, (int)r, "layer %.19s… in the image store is damaged: %s",
				 digest, sys_text((int)r));
	*out = (struct image_layer){ .size = (uint64_t)status.st_size,
				     .is_opaque = marks.is_opaque,
				     .is_implied = marks.is_implied };
	memcpy(out->digest, digest, IMAGE_DIGEST_SIZE);
	out->fd = take_fd(&fd);
	return 0;
}

static bool is_resumable(const char *name, const struct stat *status)
{
	if (strncmp(name, "part-", 5) != 0 && strncmp(name, "blob-", 5) != 0)
		return false;
	return time(NULL) - status->st_mtime < KEEP_DOWNLOADS_S;
}

static uint64_t clean_one(const struct store *store, const char *name, bool keep_resumable)
{
	own_fd fd =
	    (int)SYS(openat, store->tmp_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat status;

	if (fd < 0 || SYS(flock, fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &status) < 0)
		return 0;
	if (!is_linked(store->tmp_fd, name, fd) || (keep_resumable && is_resumable(name, &status)))
		return 0;
	store_temp_remove(store, name);
	return (uint64_t)status.st_blocks * 512;
}

uint64_t store_temp_clean(const struct store *store, const char *name)
{
	return clean_one(store, name, false);
}

uint64_t store_clean(const struct store *store, bool all)
{
	own_fd dir_fd = (int)SYS(openat, store->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = dir_fd >= 0 ? fdopendir(dir_fd) : NULL;
	struct dirent *entry;
	uint64_t freed = 0;

	if (!dir)
		return 0;
	(void)take_fd(&dir_fd);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			freed += clean_one(store, entry->d_name, !all);
	(void)closedir(dir);
	return freed;
}

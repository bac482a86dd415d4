#include "runtime/image/gc.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/digest.h"
#include "runtime/layer/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Every image's record. A damaged one ends the removal: what it needs is not known. */
struct records {
	struct record *items;
	size_t count;
};

static int read_records(const struct store *store, struct records *out, struct error *err)
{
	own_mem char(*ids)[IMAGE_DIGEST_SIZE] = NULL;
	own_mem struct record *items = NULL;
	size_t count = 0;
	int r = record_ids(store, &ids, &count, err);

	if (r < 0)
		return r;
	items = calloc(count + 1, sizeof *items);
	if (!items)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		r = record_load(store, ids[i], &items[i], err);
		if (r < 0)
			return r;
	}
	*out = (struct records){ .items = take_ptr(items), .count = count };
	return 0;
}

static bool has_layer(const struct record *record, const char *digest)
{
	for (size_t i = 0; i < record->layer_count; i++)
		if (strcmp(record->layers[i], digest) == 0)
			return true;
	return false;
}

static bool is_layer_used(const struct records *records, const char *hex)
{
	char digest[IMAGE_DIGEST_SIZE];

	(void)snprintf(digest, sizeof digest, "sha256:%.64s", hex);
	for (size_t i = 0; i < records->count; i++)
		if (has_layer(&records->items[i], digest))
			return true;
	return false;
}

static bool is_blob_used(const struct records *records, const char *hex)
{
	for (size_t i = 0; i < records->count; i++)
		if (strcmp(digest_hex(records->items[i].id), hex) == 0 ||
		    (records->items[i].manifest[0] &&
		     strcmp(digest_hex(records->items[i].manifest), hex) == 0))
			return true;
	return false;
}

/* Unless someone holds a shared lock on it. */
static void remove_file(int dir_fd, const char *name, struct gc_result *result)
{
	own_fd fd = (int)SYS(openat, dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return;
	if (SYS(flock, fd, LOCK_EX | LOCK_NB) < 0) {
		result->busy++;
		return;
	}
	if (SYS(unlinkat, dir_fd, name, 0) == 0)
		result->freed += (uint64_t)status.st_blocks * 512;
}

static int sweep(int dir_fd, const struct records *records,
		 bool (*is_used)(const struct records *, const char *), struct gc_result *result,
		 struct error *err)
{
	struct dirent **list;
	int n = scandirat(dir_fd, ".", &list, NULL, NULL);

	if (n < 0)
		return error_set(err, -EIO, "list the image store: %s",
				 sys_text((int)sys_result(-1)));
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.' && !is_used(records, list[i]->d_name))
			remove_file(dir_fd, list[i]->d_name, result);
		free(list[i]);
	}
	free(list);
	return 0;
}

int gc_objects(const struct store *store, struct gc_result *result, struct error *err)
{
	struct records records = { 0 };
	int r = read_records(store, &records, err);

	if (r == 0)
		r = sweep(store->layers_fd, &records, is_layer_used, result, err);
	if (r == 0)
		r = sweep(store->blobs_fd, &records, is_blob_used, result, err);
	free(records.items);
	return r;
}

/* Does somebody hold the layer's shared lock? is_opaque may be NULL. */
static bool is_layer_in_use(const struct store *store, const char *digest, bool *is_opaque)
{
	char name[STORE_NAME_SIZE];
	struct layer_marks marks;
	own_fd fd = -1;

	store_layer_name(digest, name);
	fd = (int)SYS(openat, store->layers_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (is_opaque)
		*is_opaque = fd >= 0 && layer_marks(fd, &marks) == 0 && marks.is_opaque;
	return fd >= 0 && SYS(flock, fd, LOCK_EX | LOCK_NB) == -EWOULDBLOCK;
}

/* A container holds all that it got of its image; single layers may be those of another image. */
static bool is_in_use(const struct store *store, const struct record *record)
{
	bool is_opaque = false;

	for (size_t i = 0; i < record->layer_count && !is_opaque; i++)
		if (!is_layer_in_use(store, record->layers[i], &is_opaque))
			return false;
	return true;
}

/* Is there something that keeps the image? Its names go if not. */
static bool is_kept(const struct store *store, const char *id, bool all,
		    const struct record_name *names, size_t count)
{
	struct record record;
	bool is_named = false;

	for (size_t i = 0; i < count && !is_named; i++)
		is_named = strcmp(names[i].id, id) == 0;
	if (!is_named)
		return false;
	if (!all || record_load(store, id, &record, NULL) < 0 || is_in_use(store, &record))
		return true;
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i].id, id) == 0)
			(void)record_remove_name(store, names[i].name);
	return false;
}

int gc_images(const struct store *store, bool all, struct gc_result *result, struct error *err)
{
	own_mem struct record_name *names = NULL;
	own_mem char(*ids)[IMAGE_DIGEST_SIZE] = NULL;
	size_t name_count = 0, id_count = 0;
	int r = record_names(store, &names, &name_count, err);

	if (r == 0)
		r = record_ids(store, &ids, &id_count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < id_count; i++) {
		if (is_kept(store, ids[i], all, names, name_count) ||
		    record_remove(store, ids[i]) < 0)
			continue;
		memmove(ids[result->images], ids[i], IMAGE_DIGEST_SIZE);
		result->images++;
	}
	result->ids = take_ptr(ids);
	return 0;
}

void gc_result_finish(struct gc_result *result)
{
	free(result->ids);
	*result = (struct gc_result){ 0 };
}

static bool is_shared(const struct records *records, const struct record *record,
		      const char *digest)
{
	for (size_t i = 0; i < records->count; i++)
		if (strcmp(records->items[i].id, record->id) != 0 &&
		    has_layer(&records->items[i], digest))
			return true;
	return false;
}

int gc_check_unused(const struct store *store, const struct record *record, struct error *err)
{
	struct records records = { 0 };
	int r = read_records(store, &records, err);

	for (size_t i = 0; r == 0 && i < record->layer_count; i++) {
		if (!is_shared(&records, record, record->layers[i]) &&
		    is_layer_in_use(store, record->layers[i], NULL))
			r = error_set(err, -EBUSY,
				      "image %.12s is used by a running container (-f removes its "
				      "name all the same)",
				      digest_hex(record->id));
	}
	free(records.items);
	return r;
}

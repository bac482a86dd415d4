#include "runtime/image/record.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/digest.h"
#include "runtime/image/document.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char suffix[] = ".json";

static void image_file(const char *id, char out[STORE_NAME_SIZE])
{
	(void)snprintf(out, STORE_NAME_SIZE, "%s%s", digest_hex(id), suffix);
}

/* A name has no '%', so that '/' can be written so. */
static void name_file(const char *name, char out[STORE_NAME_SIZE])
{
	(void)snprintf(out, STORE_NAME_SIZE, "%s", name);
	for (char *at = out; (at = strchr(at, '/'));)
		*at = '%';
}

static int read_object(int dir_fd, const char *file, struct document *document, json_object **out)
{
	own_mem char *text = NULL;
	size_t size;
	int r = store_read(dir_fd, file, &text, &size, document->err);

	return r < 0 ? r : document_parse(document, text, size, json_type_object, out);
}

static int read_digest(const struct document *document, json_object *object, const char *key,
		       bool may_be_empty, char out[IMAGE_DIGEST_SIZE])
{
	const char *text;
	int r = document_need_text(document, object, key, &text);

	if (r < 0)
		return r;
	if (may_be_empty && !*text) {
		out[0] = '\0';
		return 0;
	}
	return digest_parse(text, document->what, out, document->err);
}

static int read_layers(const struct document *document, json_object *root, struct record *out)
{
	json_object *array;
	int r = document_need(document, root, "layers", json_type_array, &array);

	if (r < 0)
		return r;
	out->layer_count = json_object_array_length(array);
	if (out->layer_count == 0 || out->layer_count > IMAGE_MAX_LAYERS)
		return error_set(document->err, -EINVAL, "%s has a wrong number of layers",
				 document->what);
	for (size_t i = 0; r == 0 && i < out->layer_count; i++) {
		json_object *item = json_object_array_get_idx(array, i);

		r = digest_parse(
		    json_object_is_type(item, json_type_string) ? json_object_get_string(item) : "",
		    document->what, out->layers[i], document->err);
	}
	return r;
}

int record_load(const struct store *store, const char *id, struct record *out, struct error *err)
{
	char file[STORE_NAME_SIZE], what[STORE_NAME_SIZE];
	struct document document = { .what = what, .err = err };
	struct record record = { 0 };
	own_json *root = NULL;
	uint64_t created = 0, loaded = 0;
	const char *platform;
	int r;

	image_file(id, file);
	(void)snprintf(what, sizeof what, "record of image %.19s", id);
	r = read_object(store->images_fd, file, &document, &root);
	if (r == 0)
		r = read_digest(&document, root, "id", false, record.id);
	if (r == 0)
		r = read_digest(&document, root, "manifest", true, record.manifest);
	if (r == 0)
		r = document_need_text(&document, root, "platform", &platform);
	if (r == 0)
		r = platform_parse(platform, &record.platform, err);
	if (r == 0)
		r = document_size(&document, root, "size", &record.size);
	if (r == 0)
		r = document_size(&document, root, "created", &created);
	if (r == 0)
		r = document_size(&document, root, "loaded", &loaded);
	if (r == 0)
		r = read_layers(&document, root, &record);
	if (r < 0)
		return r;
	record.created = (int64_t)created;
	record.loaded = (int64_t)loaded;
	*out = record;
	return 0;
}

static int write_object(const struct store *store, int dir_fd, const char *file,
			json_object *object, struct error *err)
{
	size_t size = 0;
	const char *text = json_object_to_json_string_length(
	    object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);

	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	return store_write(store, dir_fd, file, text, size, err);
}

int record_save(const struct store *store, const struct record *record, struct error *err)
{
	own_json *root = json_object_new_object();
	json_object *layers = json_object_new_array();
	char file[STORE_NAME_SIZE], platform[PLATFORM_TEXT_SIZE];

	if (!root || !layers) {
		(void)json_object_put(layers);
		return error_set(err, -ENOMEM, "out of memory");
	}
	platform_text(&record->platform, platform);
	for (size_t i = 0; i < record->layer_count; i++)
		(void)json_object_array_add(layers, json_object_new_string(record->layers[i]));
	(void)json_object_object_add(root, "id", json_object_new_string(record->id));
	(void)json_object_object_add(root, "manifest", json_object_new_string(record->manifest));
	(void)json_object_object_add(root, "platform", json_object_new_string(platform));
	(void)json_object_object_add(root, "size", json_object_new_uint64(record->size));
	(void)json_object_object_add(root, "created", json_object_new_int64(record->created));
	(void)json_object_object_add(root, "loaded", json_object_new_int64(record->loaded));
	(void)json_object_object_add(root, "layers", layers);
	image_file(record->id, file);
	return write_object(store, store->images_fd, file, root, err);
}

int record_remove(const struct store *store, const char *id)
{
	char file[STORE_NAME_SIZE];

	image_file(id, file);
	return (int)SYS(unlinkat, store->images_fd, file, 0);
}

int record_find_name(const struct store *store, const char *name, struct record_name *out,
		     struct error *err)
{
	struct document document = { .what = name, .err = err };
	struct record_name found = { 0 };
	char file[STORE_NAME_SIZE];
	own_json *root = NULL;
	int r;

	name_file(name, file);
	r = read_object(store->refs_fd, file, &document, &root);
	if (r == 0)
		r = read_digest(&document, root, "image", false, found.id);
	if (r == 0)
		r = read_digest(&document, root, "digest", true, found.digest);
	if (r < 0)
		return r;
	(void)snprintf(found.name, sizeof found.name, "%s", name);
	*out = found;
	return 0;
}

int record_save_name(const struct store *store, const struct record_name *name, struct error *err)
{
	own_json *root = json_object_new_object();
	char file[STORE_NAME_SIZE];

	if (!root)
		return error_set(err, -ENOMEM, "out of memory");
	(void)json_object_object_add(root, "image", json_object_new_string(name->id));
	(void)json_object_object_add(root, "digest", json_object_new_string(name->digest));
	name_file(name->name, file);
	return write_object(store, store->refs_fd, file, root, err);
}

int record_remove_name(const struct store *store, const char *name)
{
	char file[STORE_NAME_SIZE];

	name_file(name, file);
	return (int)SYS(unlinkat, store->refs_fd, file, 0);
}

/* Every entry of a folder, sorted; grown by doubling. The caller frees the list and each name. */
static int list_folder(int folder_fd, struct dirent ***out, int *count, struct error *err)
{
	int n = scandirat(folder_fd, ".", out, NULL, alphasort);

	if (n < 0)
		return error_set(err, -EIO, "list the image store: %s",
				 sys_text((int)sys_result(-1)));
	*count = n;
	return 0;
}

static void free_list(struct dirent **list, int count)
{
	for (int i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

/* HEX.json -> sha256:HEX */
static bool id_of_file(const char *file, char id[IMAGE_DIGEST_SIZE])
{
	const char *dot = strchr(file, '.');

	if (!dot || strcmp(dot, suffix) != 0 || dot - file != IMAGE_DIGEST_SIZE - 8)
		return false;
	(void)snprintf(id, IMAGE_DIGEST_SIZE, "sha256:%.64s", file);
	return digest_is_valid(id);
}

int record_ids(const struct store *store, char (**out)[IMAGE_DIGEST_SIZE], size_t *count,
	       struct error *err)
{
	char(*ids)[IMAGE_DIGEST_SIZE];
	struct dirent **list = NULL;
	size_t found = 0;
	int listed = 0, r = list_folder(store->images_fd, &list, &listed, err);

	if (r < 0)
		return r;
	ids = calloc((size_t)listed + 1, sizeof *ids);
	for (int i = 0; ids && i < listed; i++)
		if (id_of_file(list[i]->d_name, ids[found]))
			found++;
	free_list(list, listed);
	if (!ids)
		return error_set(err, -ENOMEM, "out of memory");
	*out = ids;
	*count = found;
	return 0;
}

int record_names(const struct store *store, struct record_name **out, size_t *count,
		 struct error *err)
{
	struct record_name *names;
	struct dirent **list = NULL;
	size_t found = 0;
	int listed = 0, r = list_folder(store->refs_fd, &list, &listed, err);

	if (r < 0)
		return r;
	names = calloc((size_t)listed + 1, sizeof *names);
	for (int i = 0; names && i < listed; i++) {
		char name[STORE_NAME_SIZE];

		if (list[i]->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof name, "%.255s", list[i]->d_name);
		for (char *at = name; (at = strchr(at, '%'));)
			*at = '/';
		if (record_find_name(store, name, &names[found], NULL) == 0)
			found++;
	}
	free_list(list, listed);
	if (!names)
		return error_set(err, -ENOMEM, "out of memory");
	*out = names;
	*count = found;
	return 0;
}

int record_find_id(const struct store *store, const char *prefix, char id[IMAGE_DIGEST_SIZE],
		   struct error *err)
{
	own_mem char(*ids)[IMAGE_DIGEST_SIZE] = NULL;
	size_t count = 0, found = 0;
	const char *hex = strncmp(prefix, "sha256:", 7) == 0 ? prefix + 7 : prefix;
	size_t size = strlen(hex);
	int r;

	if (size < 4 || size > 64 || strspn(hex, "0123456789abcdef") != size)
		return -ENOENT;
	r = record_ids(store, &ids, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (strncmp(digest_hex(ids[i]), hex, size) != 0)
			continue;
		if (found++ == 0)
			memcpy(id, ids[i], IMAGE_DIGEST_SIZE);
	}
	if (found > 1)
		return error_set(err, -EEXIST, "%zu images have an id that starts with %s", found,
				 hex);
	return found == 1 ? 0 : -ENOENT;
}

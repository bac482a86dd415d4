#pragma once
#include "runtime/image/image.h"
#include <stdbool.h>

/*
 * The folder of images. Everything in it is written under tmp/, synced and renamed, so that whoever
 * is killed at whatever point leaves either the whole object or none:
 *
 *   refs/NAME          which image a name is ('/' written as '%')
 *   images/HEX.json    an image, by the digest of its configuration
 *   blobs/sha256/HEX   configurations and manifests
 *   layers/HEX.erofs   layers, by diff id (chain id where layers were squashed)
 *   tmp/               what is being made; whoever makes it holds a flock on it
 *   lock               shared while objects are put together, exclusive while they are removed
 */
struct store {
	char *root;
	int root_fd, refs_fd, images_fd, blobs_fd, layers_fd, tmp_fd;
};

enum { STORE_NAME_SIZE = 256 };

/* root NULL is the default. Makes the folders that are missing. */
int store_open(const char *root, struct store *out, struct error *err);
void store_close(struct store *store);

/* The caller closes *lock to end it. Waits. */
int store_lock(const struct store *store, bool exclusive, int *lock, struct error *err);

/* A file in tmp/, made if it is not there, with an exclusive flock that lives as long as *out.
 * -EAGAIN: someone else is at it (only when not wait). */
int store_temp(const struct store *store, const char *name, bool wait, int *out, struct error *err);

/* The temporary file becomes the object `name` in the folder to_fd, at once and for good. */
int store_publish(const struct store *store, const char *temp_name, int fd, int to_fd,
		  const char *name, struct error *err);
void store_temp_remove(const struct store *store, const char *name);

/* A whole small object; nothing is there, or all of it. */
int store_write(const struct store *store, int dir_fd, const char *name, const void *data,
		size_t size, struct error *err);

/* *text is ended with a NUL that does not count; -ENOENT leaves err unset. */
int store_read(int dir_fd, const char *name, char **text, size_t *size, struct error *err);

/* An open layer with the shared flock that keeps it; -ENOENT leaves err unset. */
int store_open_layer(const struct store *store, const char *digest, struct image_layer *out,
		     struct error *err);
void store_layer_name(const char *digest, char out[STORE_NAME_SIZE]);

/* Removes what is in tmp/ under that name, unless somebody has a lock on it. Returns the bytes. */
uint64_t store_temp_clean(const struct store *store, const char *name);

/* Removes what killed processes left in tmp/. Downloads that can be resumed stay for a week, unless
 * all. Returns the bytes freed. */
uint64_t store_clean(const struct store *store, bool all);

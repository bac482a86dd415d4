#pragma once
#include "runtime/image/platform.h"
#include "runtime/image/reference.h"
#include "runtime/image/store.h"

/* What the store knows of an image, so that running it reads this and its configuration only. */
struct record {
	char id[IMAGE_DIGEST_SIZE];       /* of the configuration */
	char manifest[IMAGE_DIGEST_SIZE]; /* "" for an image from docker save */
	struct platform platform;
	uint64_t size;   /* of the layers in the store */
	int64_t created; /* seconds since 1970, of the image; 0: not said */
	int64_t loaded;  /* when it came here */
	char layers[IMAGE_MAX_LAYERS][IMAGE_DIGEST_SIZE]; /* top first */
	size_t layer_count;
};

/* A name of an image. */
struct record_name {
	char name[REFERENCE_NAME_MAX + 1]; /* docker.io/library/debian:12 */
	char id[IMAGE_DIGEST_SIZE];
	char digest[IMAGE_DIGEST_SIZE]; /* what the registry called it: index or manifest; or "" */
};

/* The readers return -ENOENT, with err unset, when there is no such thing. */
int record_load(const struct store *store, const char *id, struct record *out, struct error *err);
int record_save(const struct store *store, const struct record *record, struct error *err);
int record_remove(const struct store *store, const char *id);

int record_find_name(const struct store *store, const char *name, struct record_name *out,
		     struct error *err);
int record_save_name(const struct store *store, const struct record_name *name, struct error *err);
int record_remove_name(const struct store *store, const char *name);

/* An id or the start of one, with or without "sha256:". -EEXIST: several images start so. */
int record_find_id(const struct store *store, const char *prefix, char id[IMAGE_DIGEST_SIZE],
		   struct error *err);

/* All names, sorted, and all images' ids. Entries that are damaged are left out. Free *out. */
int record_names(const struct store *store, struct record_name **out, size_t *count,
		 struct error *err);
int record_ids(const struct store *store, char (**out)[IMAGE_DIGEST_SIZE], size_t *count,
	       struct error *err);

#pragma once
#include "base/error.h"
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <time.h>

/*
 * Named volumes: folders that outlive containers, under the folder for images (--root).
 *
 *   volumes/NAME/data          what the containers see
 *   volumes/NAME/volume.json   its labels
 *   volumes/NAME/filled        it has been offered what an image has in its place
 *
 * Whoever uses a volume holds a shared lock on its volume.json; who removes it needs all of the
 * lock.
 */
struct volume {
	int fd;      /* of data, O_DIRECTORY; -1: none */
	int lock_fd; /* keep it open for as long as the volume is in use */
	bool made;   /* it was not there before */
};

/* Once in the life of a volume, and only if it is empty then, this is true: what the image has at
 * its place is to be copied into it now. */
bool volume_wants_content(const struct volume *volume);

/* The volume of that name, made when it is missing. Close both descriptors with volume_close. */
int volume_open(const char *root, const char *name, struct volume *out, struct error *err);
void volume_close(struct volume *volume);

/* labels: a JSON object of texts, borrowed, or NULL. *made: false when it was there already. */
int volume_create(const char *root, const char *name, struct json_object *labels, bool *made,
		  struct error *err);

struct volume_entry {
	const char *name;
	char path[PATH_MAX]; /* of its data */
	bool in_use;
	struct timespec made;
	struct json_object *labels; /* an object, owned by the caller of visit */
};

/* Calls visit for each volume, by name, until it answers other than 0: that is the result. */
int volumes_visit(const char *root, int (*visit)(void *context, const struct volume_entry *entry),
		  void *context, struct error *err);

/* -ENOENT: there is none of that name. */
int volume_find(const char *root, const char *name,
		int (*visit)(void *context, const struct volume_entry *entry), void *context,
		struct error *err);

/* -EBUSY: a running container uses it. */
int volume_remove(const char *root, const char *name, struct error *err);

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
 *   volumes/NAME/filling       locked: somebody copies into it what an image has in its place;
 *                              else such a copy was cut off
 *   volumes/NAME/filled        that was done
 *
 * Whoever uses a volume holds a shared lock on its volume.json; who removes it needs all of the
 * lock.
 */
struct volume {
	int fd;      /* of data, O_DIRECTORY; -1: none */
	int lock_fd; /* keep it open for as long as the volume is in use */
	int fill_fd; /* the copy of what the image has is ours to make; -1: it is not */
	bool made;   /* it was not there before */
};
#define VOLUME_CLOSED ((struct volume){ .fd = -1, .lock_fd = -1, .fill_fd = -1 })

/* True: what the image has at its place is to be copied into it, and nobody else does that until
 * volume_filled or volume_close. Of a volume that was empty when it was first used so, until a copy
 * was completed; while somebody else copies it is false. */
bool volume_wants_content(struct volume *volume);

/* The copy was made; from now on the volume is what its users make of it. */
void volume_filled(struct volume *volume);

/* The volume of that name, made when it is missing. Close it with volume_close. */
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

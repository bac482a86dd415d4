#pragma once
#include "base/error.h"
#include <json-c/json.h>
#include <sys/types.h>

/* Running containers as other katavm processes see them: found by the files of runtime/state.h,
 * asked through runtime/monitor.h. */
struct container_entry {
	char id[65];
	char name[129]; /* the id's first 12 digits when it was given none */
	char image[256];
	pid_t pid;        /* of the katavm that runs it */
	char socket[108]; /* where that listens */
};

/* `wanted` is a name, or the beginning of exactly one id. -ENOENT: nothing of that name runs. */
int container_find(const char *wanted, struct container_entry *out, struct error *err);

/* Calls `visit` for each running container, in no order, until it answers other than 0: that is the
 * result. */
int containers_visit(int (*visit)(void *context, const struct container_entry *entry),
		     void *context, struct error *err);

/* Finds it and asks it: monitor_call. Takes parameters. Blocks. */
int container_call(const char *wanted, const char *method, struct json_object *parameters,
		   int timeout_ms, struct json_object **result, struct error *err);

/* Removes what containers left behind whose katavm was killed. */
void containers_sweep(void);

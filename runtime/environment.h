#pragma once
#include "base/error.h"
#include "runtime/arena.h"

/* A process's environment as it is put together: KEY=VALUE, each key once. */

/* Sets, or replaces where the key is there already. */
void environment_set(struct arena *arena, struct texts *environment, const char *entry);

/* As -e does: KEY=VALUE sets; KEY takes the caller's value, and without one removes it. */
int environment_apply(struct arena *arena, struct texts *environment, const char *entry,
		      struct error *err);

/* The lines of an env-file are applied in turn. `text` has `size` bytes; `path` names it in errors.
 */
int environment_apply_file(struct arena *arena, struct texts *environment, const char *path,
			   const char *text, size_t size, struct error *err);

/* The value of a key, or NULL. */
const char *environment_get(const struct texts *environment, const char *key);

#pragma once
#include "runtime/options.h"

/* Every command of katavm, in the order of --help; ends with NULL. */
extern const struct command *const commands[];

const struct command *commands_find(const char *name);

/* The command that the first word names, or the first two ("volume create"): *used words of them.
 * NULL: none. */
const struct command *commands_pick(size_t count, char *const *words, size_t *used);

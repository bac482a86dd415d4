#pragma once
#include "runtime/options.h"

/* Every command of katavm, in the order of --help; ends with NULL. */
extern const struct command *const commands[];

const struct command *commands_find(const char *name);

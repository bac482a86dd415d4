#pragma once
#include "runtime/options.h"

extern const struct command run_command;

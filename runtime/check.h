#pragma once
#include "runtime/options.h"

extern const struct command check_command;

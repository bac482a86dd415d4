#pragma once
#include "runtime/options.h"

extern const struct command logs_command;

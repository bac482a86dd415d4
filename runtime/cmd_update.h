#pragma once
#include "runtime/options.h"

extern const struct command update_command;

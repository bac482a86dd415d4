#pragma once
#include "runtime/options.h"

extern const struct command stats_command;

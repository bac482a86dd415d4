#pragma once
#include "runtime/options.h"

extern const struct command ps_command;

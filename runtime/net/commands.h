#pragma once
#include "runtime/options.h"

extern const struct command port_command;

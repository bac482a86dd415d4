#pragma once
#include "runtime/options.h"

extern const struct command network_create_command;
extern const struct command network_inspect_command;
extern const struct command network_ls_command;
extern const struct command network_rm_command;
extern const struct command port_command;

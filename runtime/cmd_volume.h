#pragma once
#include "runtime/options.h"

extern const struct command volume_create_command, volume_inspect_command, volume_ls_command,
    volume_prune_command, volume_rm_command;

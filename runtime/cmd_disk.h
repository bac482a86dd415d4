#pragma once
#include "runtime/options.h"

extern const struct command disk_add_command, disk_ls_command, disk_resize_command, disk_rm_command;

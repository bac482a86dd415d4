#pragma once
#include "runtime/options.h"

/* The commands on images, for the table of commands. */
extern const struct command image_pull_command;
extern const struct command image_load_command;
extern const struct command image_images_command;
extern const struct command image_inspect_command;
extern const struct command image_rmi_command;
extern const struct command image_prune_command;

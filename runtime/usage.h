#pragma once
#include "runtime/options.h"
#include <stdio.h>

/* What is printed from the tables of options: for a terminal, for man(1) and for shells. */
void usage_print_program(FILE *to, const struct command *const *commands);
void usage_print_command(FILE *to, const struct command *command);

/* A man page; command NULL is katavm(1) itself. extra: more sections in roff, or NULL. */
void usage_print_man(FILE *to, const struct command *const *commands, const struct command *command,
		     FILE *extra);

/* Completion for "bash", "zsh" or "fish"; false: no such shell. */
bool usage_print_completion(FILE *to, const struct command *const *commands, const char *shell);

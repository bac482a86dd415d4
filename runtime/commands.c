#include "runtime/commands.h"

#include "runtime/check.h"
#include "runtime/cmd_disk.h"
#include "runtime/cmd_update.h"
#include "runtime/cmd_volume.h"
#include "runtime/image/commands.h"
#include "runtime/logs.h"
#include "runtime/net/commands.h"
#include "runtime/ps.h"
#include "runtime/run.h"
#include "runtime/stats.h"
#include "runtime/usage.h"

#include <errno.h>
#include <string.h>

/* The exit status of Docker's command line for a command that cannot be understood. */
enum { EXIT_USAGE = 125 };

static int version_main(const struct options *options)
{
	(void)options;
	(void)printf("katavm %s\n", KATAVM_VERSION);
	return 0;
}

static const struct command version_command = {
	.name = "version",
	.arguments = "",
	.summary = "Print katavm's version",
	.main = version_main,
};

static int completion_main(const struct options *options)
{
	if (usage_print_completion(stdout, commands, options->arguments[0]))
		return 0;
	(void)fprintf(stderr, "katavm: completion is made for bash, zsh and fish, not for %s\n",
		      options->arguments[0]);
	return EXIT_USAGE;
}

static const struct command completion_command = {
	.name = "completion",
	.arguments = "SHELL",
	.summary = "Print the completion script of a shell: bash, zsh or fish",
	.description = "To use it at once: eval \"$(katavm completion bash)\". To keep it, write "
		       "it where\nyour shell looks for completions.",
	.min_arguments = 1,
	.max_arguments = 1,
	.main = completion_main,
};

static int man_main(const struct options *options)
{
	const char *name = options->arguments[0];
	const struct command *command = strcmp(name, "katavm") == 0 ? NULL : commands_find(name);
	FILE *extra = NULL;

	if (!command && strcmp(name, "katavm") != 0) {
		(void)fprintf(stderr, "katavm: there is no command %s\n", name);
		return EXIT_USAGE;
	}
	if (options->argument_count == 2) {
		extra = fopen(options->arguments[1], "re");
		if (!extra) {
			(void)fprintf(stderr, "katavm: open %s: %s\n", options->arguments[1],
				      strerrorname_np(errno));
			return 1;
		}
	}
	usage_print_man(stdout, commands, command, extra);
	if (extra)
		(void)fclose(extra);
	return 0;
}

static const struct command man_command = {
	.name = "man",
	.arguments = "COMMAND [SECTIONS]",
	.summary = "Print the man page of a command, or of katavm",
	.description = "The file SECTIONS, in the language of man(7), is put behind the options.",
	.min_arguments = 1,
	.max_arguments = 2,
	.hidden = true,
	.main = man_main,
};

const struct command *const commands[] = {
	/* containers */
	&run_command,
	&ps_command,
	&stats_command,
	&update_command,
	&disk_add_command,
	&disk_ls_command,
	&disk_resize_command,
	&disk_rm_command,
	&port_command,
	&network_create_command,
	&network_inspect_command,
	&network_ls_command,
	&network_rm_command,
	&logs_command,
	/* images */
	&image_pull_command,
	&image_images_command,
	&image_inspect_command,
	&image_load_command,
	&image_rmi_command,
	&image_prune_command,
	/* volumes */
	&volume_create_command,
	&volume_ls_command,
	&volume_inspect_command,
	&volume_rm_command,
	&volume_prune_command,
	/* katavm itself */
	&check_command,
	&version_command,
	&completion_command,
	&man_command,
	NULL,
};

const struct command *commands_find(const char *name)
{
	for (const struct command *const *at = commands; *at; at++)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	return NULL;
}

const struct command *commands_pick(size_t count, char *const *words, size_t *used)
{
	const struct command *command = count > 0 ? commands_find(words[0]) : NULL;
	char both[64];

	*used = 1;
	if (command || count < 2 ||
	    snprintf(both, sizeof both, "%s %s", words[0], words[1]) >= (int)sizeof both)
		return command;
	*used = 2;
	return commands_find(both);
}

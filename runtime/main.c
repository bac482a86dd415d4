/*
 * One program, several roles. The name it is called by picks the role; called katavm, its first
 * word picks a command. Roles get argv as it is; commands get it parsed by their table of options.
 */
#include "runtime/commands.h"
#include "runtime/layer/layer.h"
#include "runtime/usage.h"
#include "vmm/vmm.h"

#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 125 };

struct role {
	const char *name;
	int (*main)(int argc, char **argv);
};

static const struct role roles[] = {
	{ LAYER_ROLE, layer_main },
	{ "katavm-vmm", vmm_main },
	{ NULL, NULL },
};

static const struct role *find_role(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (const struct role *role = roles; role->name; role++)
		if (strcmp(role->name, name) == 0)
			return role;
	return NULL;
}

static int usage_error(const struct error *err)
{
	(void)fprintf(stderr, "katavm: %s\n", err->text);
	return EXIT_USAGE;
}

static const struct command *pick_command(const char *name, struct error *err)
{
	const struct command *command = commands_find(name);
	const char *names[64], *nearest;
	size_t count = 0;

	if (command)
		return command;
	for (const struct command *const *at = commands; *at && count < 64; at++)
		if (!(*at)->hidden)
			names[count++] = (*at)->name;
	nearest = options_nearest(name, names, count);
	if (nearest)
		(void)error_set(err, -1, "there is no command \"%s\": did you mean %s?", name,
				nearest);
	else
		(void)error_set(err, -1, "there is no command \"%s\": see katavm --help", name);
	return NULL;
}

static int run_command(const struct command *command, size_t argc, char *const *argv,
		       struct options *options)
{
	struct error err;

	if (options_parse(command, argc, argv, options, &err) < 0)
		return usage_error(&err);
	if (options_flag(options, "help")) {
		usage_print_command(stdout, command);
		return 0;
	}
	if (options_check_arguments(options, &err) < 0)
		return usage_error(&err);
	return command->main(options);
}

static int katavm_main(size_t argc, char *const *argv)
{
	const struct command *command;
	static char word[] = "version";
	char *const version[] = { word, NULL };
	struct options options = { 0 };
	struct error err;
	size_t used;
	int status;

	if (argc == 1 && strcmp(argv[0], "--version") == 0)
		argv = version;
	if (options_parse_common(argc, argv, &options, &used, &err) < 0)
		return usage_error(&err);
	if (used == argc || options_flag(&options, "help")) {
		status = options_flag(&options, "help") ? 0 : EXIT_USAGE;
		usage_print_program(status == 0 ? stdout : stderr, commands);
	} else {
		command = pick_command(argv[used], &err);
		status = command ? run_command(command, argc - used - 1, argv + used + 1, &options)
				 : usage_error(&err);
	}
	options_finish(&options);
	return status;
}

int main(int argc, char **argv)
{
	const struct role *role;

	if (argc < 1)
		return EXIT_USAGE;
	role = find_role(argv[0]);
	if (role)
		return role->main(argc, argv);
	if (argc > 1 && strcmp(argv[1], "vmm") == 0) /* it has a parser of its own */
		return vmm_standalone_main(argc - 1, argv + 1);
	return katavm_main((size_t)argc - 1, argv + 1);
}

/*
 * One program, several roles. The name it is called by picks the role; called katavm, its first
 * word picks a command. Roles get argv as it is; commands get it parsed by their table of options.
 */
#include "base/sys.h"
#include "runtime/commands.h"
#include "runtime/layer/layer.h"
#include "runtime/usage.h"
#include "vmm/vmm.h"

#include <fcntl.h>
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
	{ "katavm-fs", vmm_share_main },
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

/* The words that may stand behind `group`, as a sentence says them; false: it is no group. */
static bool list_group(const char *group, char *out, size_t size)
{
	size_t length = strlen(group), used = 0;

	for (const struct command *const *at = commands; *at && used < size; at++)
		if (strncmp((*at)->name, group, length) == 0 && (*at)->name[length] == ' ')
			used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "",
						 (*at)->name + length + 1);
	return used > 0;
}

static const struct command *pick_command(size_t count, char *const *words, size_t *used,
					  struct error *err)
{
	const struct command *command = commands_pick(count, words, used);
	const char *names[64], *nearest;
	char group[128];
	size_t known = 0;

	if (command)
		return command;
	if (list_group(words[0], group, sizeof group)) {
		(void)error_set(err, -1, "katavm %s is followed by one of: %s", words[0], group);
		return NULL;
	}
	for (const struct command *const *at = commands; *at && known < 64; at++)
		if (!(*at)->hidden)
			names[known++] = (*at)->name;
	nearest = options_nearest(words[0], names, known);
	if (nearest)
		(void)error_set(err, -1, "there is no command \"%s\": did you mean %s?", words[0],
				nearest);
	else
		(void)error_set(err, -1, "there is no command \"%s\": see katavm --help", words[0]);
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
	size_t used, words;
	int status;

	if (argc == 1 && strcmp(argv[0], "--version") == 0)
		argv = version;
	if (options_parse_common(argc, argv, &options, &used, &err) < 0)
		return usage_error(&err);
	if (used == argc || options_flag(&options, "help")) {
		status = options_flag(&options, "help") ? 0 : EXIT_USAGE;
		usage_print_program(status == 0 ? stdout : stderr, commands);
	} else {
		command = pick_command(argc - used, argv + used, &words, &err);
		used += words;
		status = command ? run_command(command, argc - used, argv + used, &options)
				 : usage_error(&err);
	}
	options_finish(&options);
	return status;
}

/* Whoever starts us may have closed some of descriptors 0 to 2. What we open next would get that
 * number, and then be the container's input or output. */
static int fill_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		long r = SYS(fcntl, fd, F_GETFD);

		if (r == -EBADF)
			r = SYS(open, "/dev/null", O_RDWR); /* gets the lowest number, this one */
		if (r < 0)
			return (int)r;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct role *role;
	int r = fill_standard_streams();

	if (r < 0) {
		(void)fprintf(stderr, "katavm: /dev/null: %s\n", sys_text(r));
		return EXIT_USAGE;
	}
	if (argc < 1)
		return EXIT_USAGE;
	role = find_role(argv[0]);
	if (role)
		return role->main(argc, argv);
	if (argc > 1 && strcmp(argv[1], "vmm") == 0) /* it has a parser of its own */
		return vmm_standalone_main(argc - 1, argv + 1);
	return katavm_main((size_t)argc - 1, argv + 1);
}

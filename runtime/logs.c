#include "runtime/logs.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/command_output.h"
#include "runtime/state.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

static int copy_out(int fd)
{
	char buffer[16 << 10];
	long got;

	while ((got = SYS_RETRY(read, fd, buffer, sizeof buffer)) > 0) {
		int result = sys_write_all(STDOUT_FILENO, buffer, (size_t)got);

		if (result < 0)
			return result;
	}
	return (int)got;
}

static int logs_main(const struct options *options)
{
	char path[PATH_MAX];
	struct error err;
	own_fd fd = -1;

	if (!options_flag(options, "boot")) {
		(void)fputs(
		    "katavm: containers run in the foreground and their output is not kept: "
		    "only logs --boot is in this release\n",
		    stderr);
		return 1;
	}
	if (state_boot_log_find(options->argument_count ? options->arguments[0] : "", path,
				sizeof path, &err) < 0)
		return command_failed(&err);
	fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	return fd < 0 || copy_out(fd) < 0;
}

static const struct option_spec logs_options[] = {
	{ "boot", 0, OPTION_FLAG, NULL, "the guest kernel's messages of a start that failed",
	  NULL },
	{ "follow", 'f', OPTION_LATER, NULL, "containers run in the foreground", NULL },
	{ "tail", 'n', OPTION_LATER, NULL, "containers run in the foreground", NULL },
	{ "since", 0, OPTION_LATER, NULL, "containers run in the foreground", NULL },
	{ "timestamps", 't', OPTION_LATER, NULL, "containers run in the foreground", NULL },
	{ 0 },
};

const struct command logs_command = {
	.name = "logs",
	.arguments = "[ID]",
	.summary = "Print what was kept of a start that failed",
	.description = "With --boot, the messages of the guest's kernel: of the newest start that "
		       "failed, or of\nthe container whose id begins with ID.",
	.options = logs_options,
	.max_arguments = 1,
	.main = logs_main,
};

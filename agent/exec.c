#include "agent/exec.h"

#include "base/own.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usual_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const char *find_variable(const message_process *process, const char *name)
{
	size_t size = strlen(name);

	for (size_t i = process->n_env; i > 0; i--) { /* the last one counts */
		const char *entry = process->env[i - 1];

		if (strncmp(entry, name, size) == 0 && entry[size] == '=')
			return entry + size + 1;
	}
	return NULL;
}

/* 0 when path is a file that the caller may execute. */
static int judge(const char *path)
{
	struct stat info;
	int r = (int)SYS(stat, path, &info);

	if (r == -ENOTDIR)
		return -ENOENT;
	if (r < 0)
		return r;
	if (S_ISDIR(info.st_mode))
		return -EISDIR;
	return (int)SYS(faccessat, AT_FDCWD, path, X_OK, AT_EACCESS);
}

/* The first one that can be executed; else why the first one that exists cannot. */
static int search(const char *name, const char *path, char found[PATH_MAX])
{
	int result = -ENOENT;

	for (;;) {
		size_t size = strcspn(path, ":");
		int r =
		    snprintf(found, PATH_MAX, "%.*s%s%s", (int)size, path, size ? "/" : "", name);

		if (r > 0 && r < PATH_MAX) {
			r = judge(found);
			if (r == 0)
				return 0;
			if (r != -ENOENT && r != -EISDIR && result == -ENOENT)
				result = r;
		}
		if (path[size] == '\0')
			return result;
		path += size + 1;
	}
}

static int find_path(const message_process *process, char found[PATH_MAX], struct error *err)
{
	const char *name = process->args[0];
	const char *path = find_variable(process, "PATH");
	int r;

	if (*name == '\0')
		return error_set(err, -ENOENT, "exec \"\": the program's name is empty");
	if (strchr(name, '/')) {
		r = strlen(name) < PATH_MAX ? judge(name) : -ENAMETOOLONG;
		if (r < 0)
			return error_set(err, r, "exec \"%s\": %s", name,
					 r == -ENOENT ? "no such file or directory" : sys_text(r));
		memcpy(found, name, strlen(name) + 1);
		return 0;
	}
	r = search(name, path ? path : usual_path, found);
	if (r == -ENOENT)
		return error_set(err, r, "exec \"%s\": executable file not found in $PATH", name);
	return r < 0 ? error_set(err, r, "exec \"%s\": %s", name, sys_text(r)) : 0;
}

int exec_find(const message_process *process, const char *home, struct exec_program *out,
	      struct error *err)
{
	size_t count = process->n_env, size = strlen("HOME=") + strlen(home) + 1;
	bool add_home = !find_variable(process, "HOME");
	/* Never freed on success: the process becomes its program. */
	own_mem char **env = calloc(count + 2, sizeof *env);
	own_mem char **args = calloc(process->n_args + 1, sizeof *args);
	own_mem char *home_entry = add_home ? malloc(size) : NULL;
	int r;

	if (!env || !args || (add_home && !home_entry))
		return error_set(err, -ENOMEM, "no memory for the arguments");
	memcpy(args, process->args, process->n_args * sizeof *args);
	if (count > 0)
		memcpy(env, process->env, count * sizeof *env);
	if (add_home) {
		(void)snprintf(home_entry, size, "HOME=%s", home);
		env[count] = home_entry;
	}
	r = find_path(process, out->path, err);
	if (r < 0)
		return r;
	out->args = take_ptr(args);
	out->env = take_ptr(env);
	(void)take_ptr(home_entry);
	return 0;
}

int exec_run(const struct exec_program *program, struct error *err)
{
	int r = (int)SYS(execve, program->path, program->args, program->env);

	if (r == -ENOENT) /* it is there, so what it needs is not */
		return error_set(err, r, "exec \"%s\": its interpreter was not found",
				 program->path);
	if (r == -ENOEXEC)
		return error_set(err, r, "exec \"%s\": exec format error", program->path);
	return error_set(err, r, "exec \"%s\": %s", program->path, sys_text(r));
}

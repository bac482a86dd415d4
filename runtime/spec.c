#include "runtime/spec.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/environment.h"
#include "runtime/spec_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef Katavm__Agent__V1__CreateContainerRequest create_request;
typedef Katavm__Agent__V1__Process process_message;

enum { ENV_FILE_MAX = 8 << 20 };

static char *unconst(const char *text)
{
	return (char *)(uintptr_t)text;
}

void spec_layer_serial(size_t index, char out[16])
{
	(void)snprintf(out, 16, "layer%zu", index);
}

int spec_stop_signal(const struct run_config *config, const struct image_config *image)
{
	int signal = config->stop_signal;

	if (signal == 0 && image->stop_signal &&
	    parse_signal(image->stop_signal, &signal, NULL) < 0)
		signal = 0;
	return signal ? signal : SIGTERM;
}

/* --- what is executed --- */

static int make_args(const struct spec_input *input, struct arena *arena, process_message *process,
		     struct error *err)
{
	const struct run_config *config = input->config;
	const struct image_config *image = input->image;
	struct texts args = { 0 };

	if (!config->entrypoint)
		for (size_t i = 0; i < image->entrypoint.count; i++)
			texts_add(arena, &args, image->entrypoint.items[i]);
	else if (*config->entrypoint)
		texts_add(arena, &args, config->entrypoint);
	for (size_t i = 0; i < config->command_count; i++)
		texts_add(arena, &args, config->command[i]);
	if (config->command_count == 0 && !config->entrypoint) /* else it is not the image's */
		for (size_t i = 0; i < image->cmd.count; i++)
			texts_add(arena, &args, image->cmd.items[i]);
	if (args.count == 0)
		return error_set(err, -EINVAL,
				 "the image has no command of its own: katavm run %.100s COMMAND",
				 config->image);
	if (args.list[0][0] == '\0')
		return error_set(err, -ENOENT, "the command to run is an empty text");
	process->args = args.list;
	process->n_args = args.count;
	return 0;
}

static int apply_file(struct arena *arena, struct texts *env, const char *path, struct error *err)
{
	own_fd fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	size_t size = 0, room = 64 << 10;
	char *text;

	if (fd < 0)
		return error_set(err, fd, "open env-file %.150s: %s", path, sys_text(fd));
	text = arena_alloc(arena, room);
	for (;;) {
		long got = SYS_RETRY(read, fd, text + size, room - size);

		if (got < 0)
			return error_set(err, (int)got, "read env-file %.150s: %s", path,
					 sys_text((int)got));
		if (got == 0)
			break;
		size += (size_t)got;
		if (size > ENV_FILE_MAX)
			return error_set(err, -EFBIG, "env-file %.150s is too large", path);
		if (size == room) {
			char *larger = arena_alloc(arena, room * 2);

			memcpy(larger, text, size);
			text = larger;
			room *= 2;
		}
	}
	return environment_apply_file(arena, env, path, text, size, err);
}

static int make_env(const struct spec_input *input, struct arena *arena, process_message *process,
		    struct error *err)
{
	const struct run_config *config = input->config;
	struct texts env = { 0 };
	int result = 0;

	texts_add(arena, &env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	texts_add(arena, &env, arena_print(arena, "HOSTNAME=%s", config->hostname));
	if (config->terminal)
		texts_add(arena, &env, "TERM=xterm");
	for (size_t i = 0; i < input->image->env.count; i++)
		environment_set(arena, &env, input->image->env.items[i]);
	for (size_t i = 0; result == 0 && i < config->env_files.count; i++)
		result = apply_file(arena, &env, config->env_files.list[i], err);
	for (size_t i = 0; result == 0 && i < config->env.count; i++)
		result = environment_apply(arena, &env, config->env.list[i], err);
	process->env = env.list;
	process->n_env = env.count;
	return result;
}

/* --- as whom, and with what rights --- */

static void make_user(const struct spec_input *input, struct arena *arena, process_message *process)
{
	const char *name = input->config->user ? input->config->user : input->image->user;
	Katavm__Agent__V1__User *user =
	    spec_new(arena, Katavm__Agent__V1__User, KATAVM__AGENT__V1__USER__INIT);

	user->name = unconst(name && *name ? name : "0:0");
	user->additional_groups = input->config->groups.list;
	user->n_additional_groups = input->config->groups.count;
	process->user = user;
}

static int make_rights(const struct run_config *config, struct arena *arena,
		       process_message *process, struct error *err)
{
	Katavm__Agent__V1__Capabilities *caps =
	    spec_new(arena, Katavm__Agent__V1__Capabilities, KATAVM__AGENT__V1__CAPABILITIES__INIT);
	struct syscall_filter program = { 0 };
	int result = 0;

	caps->bounding = config->capabilities;
	caps->effective = config->capabilities;
	caps->permitted = config->capabilities;
	process->capabilities = caps;
	process->no_new_privileges = config->no_new_privileges;
	process->oom_score_adj = config->oom_score_adj;
	process->oom_score_adj_set = config->oom_score_adj != 0;
	if (!config->privileged && !config->no_seccomp)
		result = syscall_filter_select(config->capabilities, arena, &program, err);
	process->seccomp_bpf.data = (uint8_t *)(uintptr_t)program.bytes;
	process->seccomp_bpf.len = program.size;
	return result;
}

static void add_rlimit(struct arena *arena, process_message *process,
		       const struct rlimit_value *value)
{
	Katavm__Agent__V1__Rlimit *rlimit =
	    spec_new(arena, Katavm__Agent__V1__Rlimit, KATAVM__AGENT__V1__RLIMIT__INIT);

	rlimit->type = unconst(value->type);
	rlimit->soft = value->soft;
	rlimit->hard = value->hard;
	for (size_t i = 0; i < process->n_rlimits; i++)
		if (strcmp(process->rlimits[i]->type, rlimit->type) == 0) {
			process->rlimits[i] = rlimit;
			return;
		}
	process->rlimits[process->n_rlimits++] = rlimit;
}

static void make_rlimits(const struct run_config *config, struct arena *arena,
			 process_message *process)
{
	/* The kernel's own are meant for a login on a small machine. */
	static const struct rlimit_value defaults[] = {
		{ "RLIMIT_NOFILE", 1024, 524288 },
		{ "RLIMIT_NPROC", UINT64_MAX, UINT64_MAX },
	};
	const size_t count = sizeof defaults / sizeof defaults[0];

	process->rlimits =
	    arena_alloc(arena, (count + config->ulimit_count) * sizeof *process->rlimits);
	for (size_t i = 0; i < count; i++)
		add_rlimit(arena, process, &defaults[i]);
	for (size_t i = 0; i < config->ulimit_count; i++)
		add_rlimit(arena, process, &config->ulimits[i]);
}

static void make_stdio(const struct run_config *config, struct arena *arena,
		       process_message *process)
{
	Katavm__Agent__V1__Stdio *stdio =
	    spec_new(arena, Katavm__Agent__V1__Stdio, KATAVM__AGENT__V1__STDIO__INIT);

	stdio->stdin_port = config->interactive ? SPEC_PORT_STDIN : 0;
	stdio->stdout_port = SPEC_PORT_STDOUT;
	stdio->stderr_port = config->terminal ? 0 : SPEC_PORT_STDERR;
	process->stdio = stdio;
}

static int make_process(const struct spec_input *input, struct arena *arena, process_message **out,
			struct error *err)
{
	const struct run_config *config = input->config;
	const char *cwd = config->workdir ? config->workdir : input->image->workdir;
	process_message *process =
	    spec_new(arena, process_message, KATAVM__AGENT__V1__PROCESS__INIT);
	int result = make_args(input, arena, process, err);

	if (result == 0)
		result = make_env(input, arena, process, err);
	if (result == 0)
		result = make_rights(config, arena, process, err);
	if (result < 0)
		return result;
	process->cwd = unconst(cwd && *cwd ? cwd : "/");
	process->terminal = config->terminal;
	process->rows = input->rows;
	process->columns = input->columns;
	process->init = config->init;
	make_user(input, arena, process);
	make_rlimits(config, arena, process);
	make_stdio(config, arena, process);
	*out = process;
	return 0;
}

/* --- in what --- */

static void make_rootfs(const struct spec_input *input, struct arena *arena,
			create_request *request)
{
	Katavm__Agent__V1__Rootfs *rootfs =
	    spec_new(arena, Katavm__Agent__V1__Rootfs, KATAVM__AGENT__V1__ROOTFS__INIT);

	rootfs->layer_serials =
	    arena_alloc(arena, input->layer_count * sizeof *rootfs->layer_serials);
	for (size_t i = 0; i < input->layer_count; i++) {
		char serial[16];

		spec_layer_serial(i, serial);
		rootfs->layer_serials[rootfs->n_layer_serials++] =
		    arena_text(arena, serial, strlen(serial));
	}
	if (input->config->disk_bytes > 0)
		rootfs->scratch_serial = unconst(SPEC_SCRATCH_SERIAL);
	rootfs->readonly = input->config->read_only;
	request->rootfs = rootfs;
}

/* The container has the VM's network namespace: nobody else is there to share it with. */
static const char *const namespace_types[] = { "pid", "mount", "ipc", "uts", "cgroup" };

static void make_namespaces(struct arena *arena, create_request *request)
{
	const size_t count = sizeof namespace_types / sizeof namespace_types[0];

	request->namespaces = arena_alloc(arena, count * sizeof *request->namespaces);
	for (size_t i = 0; i < count; i++) {
		Katavm__Agent__V1__Namespace *space = spec_new(arena, Katavm__Agent__V1__Namespace,
							       KATAVM__AGENT__V1__NAMESPACE__INIT);

		space->type = unconst(namespace_types[i]);
		request->namespaces[request->n_namespaces++] = space;
	}
}

static const char *const masked_paths[] = {
	"/proc/asound",     "/proc/acpi",        "/proc/interrupts",
	"/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
	"/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap",
};
static const char *const readonly_paths[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
					      "/proc/sysrq-trigger" };

static void make_paths(const struct run_config *config, struct arena *arena,
		       create_request *request)
{
	struct texts masked = { 0 }, readonly = { 0 };

	if (config->privileged)
		return;
	for (size_t i = 0; i < sizeof masked_paths / sizeof masked_paths[0]; i++)
		texts_add(arena, &masked, masked_paths[i]);
	for (size_t i = 0; i < sizeof readonly_paths / sizeof readonly_paths[0]; i++)
		texts_add(arena, &readonly, readonly_paths[i]);
	request->masked_paths = masked.list;
	request->n_masked_paths = masked.count;
	request->readonly_paths = readonly.list;
	request->n_readonly_paths = readonly.count;
}

static void make_resources(const struct run_config *config, struct arena *arena,
			   create_request *request)
{
	Katavm__Agent__V1__Resources *resources =
	    spec_new(arena, Katavm__Agent__V1__Resources, KATAVM__AGENT__V1__RESOURCES__INIT);

	resources->memory_max = (int64_t)config->memory_bytes;
	resources->pids_max = config->pids_max;
	if (config->cpu_quota_us > 0) {
		resources->cpu_quota_us = (int64_t)config->cpu_quota_us;
		resources->cpu_period_us = 100000;
	}
	request->resources = resources;
}

static void make_sysctls(const struct run_config *config, struct arena *arena,
			 create_request *request)
{
	request->sysctls = arena_alloc(arena, config->sysctl_count * sizeof *request->sysctls);
	for (size_t i = 0; i < config->sysctl_count; i++) {
		Katavm__Agent__V1__Sysctl *sysctl =
		    spec_new(arena, Katavm__Agent__V1__Sysctl, KATAVM__AGENT__V1__SYSCTL__INIT);

		sysctl->name = unconst(config->sysctls[i].name);
		sysctl->value = unconst(config->sysctls[i].value);
		request->sysctls[request->n_sysctls++] = sysctl;
	}
}

int spec_make(const struct spec_input *input, struct arena *arena, create_request **out,
	      struct error *err)
{
	const struct run_config *config = input->config;
	create_request *request =
	    spec_new(arena, create_request, KATAVM__AGENT__V1__CREATE_CONTAINER_REQUEST__INIT);
	int result = make_process(input, arena, &request->process, err);

	if (result < 0)
		return result;
	request->id = unconst(config->id);
	request->hostname = unconst(config->hostname);
	request->domainname = unconst(config->domainname ? config->domainname : "");
	request->start = true;
	make_rootfs(input, arena, request);
	make_namespaces(arena, request);
	make_paths(config, arena, request);
	make_resources(config, arena, request);
	make_sysctls(config, arena, request);
	spec_mounts_add(config, input->image, input->shares, arena, request);
	spec_devices_add(config, arena, request);
	spec_files_add(config, input->net, arena, request);
	*out = request;
	return 0;
}

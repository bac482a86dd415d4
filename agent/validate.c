#include "agent/validate.h"

#include "agent/identity.h"
#include "agent/launch.h"
#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
	MAX_ID = 128,
	MAX_LAYERS = 64,
	MAX_CONTAINERS = 64,
	MAX_SERIAL = 20, /* virtio-blk's */
	MAX_SIGNAL = 64,
	MAX_ITEMS = 4096, /* of any list */
};

static int invalid(struct error *err, const char *field, const char *why)
{
	return error_set(err, -EINVAL, "%s: %s", field, why);
}

/* Plain letters that can be a file's name and part of a log line. */
static bool is_id(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t size = strlen(text);

	return size > 0 && size <= MAX_ID && strspn(text, allowed) == size && text[0] != '.';
}

/* No part of it is "..". */
static bool goes_up(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += strspn(at, "/");
		if (strncmp(at, "..", 2) == 0 && (at[2] == '\0' || at[2] == '/'))
			return true;
	}
	return false;
}

static bool is_path(const char *path)
{
	return path[0] == '/' && strlen(path) < PATH_MAX && !goes_up(path);
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static int check_paths(char *const *paths, size_t count, const char *field, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!is_path(paths[i]))
			return invalid(err, field, "not an absolute path without ..");
	return 0;
}

static int check_sysctls(message_sysctl *const *sysctls, size_t count, const char *field,
			 struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		const char *name = sysctls[i]->name;

		if (*name == '\0' || *name == '/' || *name == '.' || goes_up(name) ||
		    strstr(name, "..") || strlen(name) > 200)
			return invalid(err, field, "not a sysctl's name");
	}
	return 0;
}

static int check_user(const message_user *user, struct error *err)
{
	if (!user)
		return 0;
	if (user->n_additional_gids > 1024 || user->n_additional_groups > 1024)
		return invalid(err, "process.user", "more than 1024 groups");
	if (user->umask > 0777)
		return invalid(err, "process.user.umask", "beyond 0777");
	if (*user->name == '\0' && (user->uid == UINT32_MAX || user->gid == UINT32_MAX))
		return invalid(err, "process.user", "4294967295 is no id");
	return 0;
}

static int check_rlimits(const message_process *process, struct error *err)
{
	for (size_t i = 0; i < process->n_rlimits; i++) {
		const message_rlimit *limit = process->rlimits[i];

		if (identity_limit_number(limit->type) < 0)
			return error_set(err, -EINVAL, "process.rlimits: no limit is called %.40s",
					 limit->type);
		if (limit->soft > limit->hard)
			return error_set(err, -EINVAL, "process.rlimits: %s: soft is above hard",
					 limit->type);
	}
	return 0;
}

static int check_stdio(const message_process *process, struct error *err)
{
	const message_stdio *stdio = process->stdio;

	if (process->terminal && stdio && stdio->stderr_port)
		return invalid(err, "process.stdio.stderr_port", "a terminal has none");
	if (process->terminal && (!stdio || !stdio->stdout_port))
		return invalid(err, "process.stdio.stdout_port", "a terminal needs one");
	return 0;
}

static int check_process(const message_process *process, struct error *err)
{
	int r;

	if (!process)
		return invalid(err, "process", "missing");
	if (process->n_args == 0)
		return invalid(err, "process.args", "empty");
	for (size_t i = 0; i < process->n_env; i++)
		if (!strchr(process->env[i], '=') || process->env[i][0] == '=')
			return invalid(err, "process.env", "an entry is not NAME=value");
	if (*process->cwd && (process->cwd[0] != '/' || strlen(process->cwd) >= PATH_MAX))
		return invalid(err, "process.cwd", "not an absolute path");
	if (process->rows > UINT16_MAX || process->columns > UINT16_MAX)
		return invalid(err, "process.rows and columns", "beyond 65535");
	if (process->oom_score_adj < -1000 || process->oom_score_adj > 1000)
		return invalid(err, "process.oom_score_adj", "not within -1000 and 1000");
	if (process->seccomp_bpf.len % sizeof(struct sock_filter) ||
	    process->seccomp_bpf.len / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return invalid(err, "process.seccomp_bpf", "not a filter program");
	r = check_stdio(process, err);
	if (r == 0)
		r = check_user(process->user, err);
	return r < 0 ? r : check_rlimits(process, err);
}

static int check_rootfs(const message_rootfs *rootfs, struct error *err)
{
	if (!rootfs)
		return invalid(err, "rootfs", "missing");
	if (rootfs->n_layer_serials == 0 || rootfs->n_layer_serials > MAX_LAYERS)
		return invalid(err, "rootfs.layer_serials", "not between 1 and 64");
	for (size_t i = 0; i < rootfs->n_layer_serials; i++)
		if (!is_id(rootfs->layer_serials[i]) ||
		    strlen(rootfs->layer_serials[i]) > MAX_SERIAL)
			return invalid(err, "rootfs.layer_serials", "not a disk's serial");
	if (*rootfs->scratch_serial &&
	    (!is_id(rootfs->scratch_serial) || strlen(rootfs->scratch_serial) > MAX_SERIAL))
		return invalid(err, "rootfs.scratch_serial", "not a disk's serial");
	return 0;
}

static int check_mounts(const message_container *message, struct error *err)
{
	for (size_t i = 0; i < message->n_mounts; i++) {
		const message_mount *mount = message->mounts[i];
		char field[64];

		(void)snprintf(field, sizeof field, "mounts[%zu].destination", i);
		if (!is_path(mount->destination) || strcmp(mount->destination, "/") == 0)
			return invalid(err, field, "not an absolute path below / without ..");
		(void)snprintf(field, sizeof field, "mounts[%zu].type", i);
		if (strlen(mount->type) > 32)
			return invalid(err, field, "too long");
		(void)snprintf(field, sizeof field, "mounts[%zu].source", i);
		if (strlen(mount->source) >= PATH_MAX)
			return invalid(err, field, "too long");
	}
	return 0;
}

static int check_namespaces(const message_container *message, struct error *err)
{
	static const char *const types[] = { "pid", "network", "mount", "ipc",
					     "uts", "cgroup",  "time",  NULL };
	bool has_mount = false;

	for (size_t i = 0; i < message->n_namespaces; i++) {
		const message_namespace *one = message->namespaces[i];
		bool is_mount = strcmp(one->type, "mount") == 0;

		if (!is_one_of(one->type, types))
			return error_set(err, -EINVAL, "namespaces: %.40s is not supported",
					 one->type);
		if (*one->path && (is_mount || !is_id(one->path)))
			return invalid(err, "namespaces",
				       is_mount ? "mount namespaces are not shared"
						: "path is not a container's id");
		for (size_t j = 0; j < i; j++)
			if (strcmp(message->namespaces[j]->type, one->type) == 0)
				return invalid(err, "namespaces", "a type is given twice");
		has_mount |= is_mount;
	}
	return has_mount ? 0 : invalid(err, "namespaces", "mount is missing");
}

static int check_device_rules(message_device_rule *const *rules, size_t count, struct error *err)
{
	static const char *const types[] = { "", "a", "b", "c", NULL };

	for (size_t i = 0; i < count; i++) {
		const message_device_rule *rule = rules[i];

		if (!is_one_of(rule->type, types))
			return invalid(err, "device_rules.type", "not a, b or c");
		if (rule->major < -1 || rule->major > INT32_MAX || rule->minor < -1 ||
		    rule->minor > INT32_MAX)
			return invalid(err, "device_rules", "major or minor is out of range");
		if (strspn(rule->access, "rwm") != strlen(rule->access))
			return invalid(err, "device_rules.access", "not of r, w and m");
	}
	return 0;
}

static int check_devices(const message_container *message, struct error *err)
{
	static const char *const types[] = { "c", "b", "p", "u", NULL };

	for (size_t i = 0; i < message->n_devices; i++) {
		const message_device *device = message->devices[i];

		if (!is_path(device->path))
			return invalid(err, "devices.path", "not an absolute path without ..");
		if (!is_one_of(device->type, types))
			return invalid(err, "devices.type", "not c, b, p or u");
		if (device->major < 0 || device->major > UINT32_MAX || device->minor < 0 ||
		    device->minor > UINT32_MAX)
			return invalid(err, "devices", "major or minor is out of range");
	}
	return check_device_rules(message->device_rules, message->n_device_rules, err);
}

static int check_limits(const message_resources *resources, struct error *err)
{
	if (resources->cpu_weight > 10000)
		return invalid(err, "resources.cpu_weight", "beyond 10000");
	for (size_t i = 0; i < resources->n_unified; i++) {
		const char *name = resources->unified[i]->name;

		if (!is_id(name) || strncmp(name, "cgroup.", 7) == 0)
			return invalid(err, "resources.unified", "not a limit's file name");
	}
	return 0;
}

int validate_resources(const message_resources *resources, struct error *err)
{
	return resources ? check_limits(resources, err) : invalid(err, "resources", "missing");
}

static int check_resources(const message_container *message, struct error *err)
{
	if (*message->cgroups_path &&
	    (goes_up(message->cgroups_path) ||
	     strspn(message->cgroups_path, "/") == strlen(message->cgroups_path)))
		return invalid(err, "cgroups_path", "not a path without ..");
	return message->resources ? check_limits(message->resources, err) : 0;
}

static int check_lists(const message_container *message, struct error *err)
{
	const size_t counts[] = { message->n_mounts,       message->n_namespaces,
				  message->n_devices,      message->n_masked_paths,
				  message->n_device_rules, message->n_readonly_paths,
				  message->n_sysctls,      message->n_files };

	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		if (counts[i] > MAX_ITEMS)
			return invalid(err, "container", "a list has more than 4096 entries");
	if (message->n_uid_mappings || message->n_gid_mappings)
		return invalid(err, "uid_mappings", "user namespaces are not supported");
	if (strlen(message->hostname) > 64 || strlen(message->domainname) > 64)
		return invalid(err, "hostname", "longer than 64 bytes");
	return 0;
}

static int check_files(const message_container *message, struct error *err)
{
	static const char *const propagations[] = { "",       "private",    "rprivate",
						    "shared", "rshared",    "slave",
						    "rslave", "unbindable", "runbindable",
						    NULL };

	for (size_t i = 0; i < message->n_files; i++)
		if (!is_path(message->files[i]->path))
			return invalid(err, "files.path", "not an absolute path without ..");
	if (!is_one_of(message->rootfs_propagation, propagations))
		return invalid(err, "rootfs_propagation", "unknown");
	return 0;
}

int validate_container(const message_container *message, struct error *err)
{
	int (*const checks[])(const message_container *, struct error *) = {
		check_lists,   check_mounts,    check_namespaces,
		check_devices, check_resources, check_files,
	};
	int r = is_id(message->id) ? 0 : invalid(err, "id", "not of letters, digits, _ . and -");

	if (r == 0)
		r = check_rootfs(message->rootfs, err);
	if (r == 0)
		r = check_process(message->process, err);
	for (size_t i = 0; r == 0 && i < sizeof checks / sizeof *checks; i++)
		r = checks[i](message, err);
	if (r == 0)
		r = check_paths(message->masked_paths, message->n_masked_paths, "masked_paths",
				err);
	if (r == 0)
		r = check_paths(message->readonly_paths, message->n_readonly_paths,
				"readonly_paths", err);
	return r < 0 ? r : check_sysctls(message->sysctls, message->n_sysctls, "sysctls", err);
}

int validate_sandbox(const message_sandbox *message, struct error *err)
{
	int r;

	if (message->protocol_version !=
	    KATAVM__AGENT__V1__PROTOCOL_VERSION__PROTOCOL_VERSION_CURRENT)
		return error_set(err, -EPROTO,
				 "protocol_version: %u was asked for, this agent speaks %d",
				 message->protocol_version,
				 KATAVM__AGENT__V1__PROTOCOL_VERSION__PROTOCOL_VERSION_CURRENT);
	if (strlen(message->hostname) > 64)
		return invalid(err, "hostname", "longer than 64 bytes");
	if (message->n_containers > MAX_CONTAINERS)
		return invalid(err, "containers", "more than 64");
	r = check_sysctls(message->sysctls, message->n_sysctls, "sysctls", err);
	if (r == 0)
		r = validate_interfaces(message->interfaces, message->n_interfaces, err);
	for (size_t i = 0; r == 0 && i < message->n_containers; i++) {
		struct error inner = { 0 };

		r = validate_container(message->containers[i], &inner);
		if (r < 0)
			return error_set(err, r, "containers[%zu].%.200s", i, inner.text);
	}
	return r;
}

int validate_file(const message_file *file, struct error *err)
{
	if (!file)
		return invalid(err, "file", "missing");
	return is_path(file->path) ? 0
				   : invalid(err, "file.path", "not an absolute path without ..");
}

static int check_disk(const char *serial, const char *path, struct error *err)
{
	if (!is_id(serial) || strlen(serial) > MAX_SERIAL)
		return invalid(err, "serial", "not of at most 20 letters, digits, _ . and -");
	return *path == '\0' || is_path(path)
		   ? 0
		   : invalid(err, "path", "not an absolute path without ..");
}

int validate_attach(const message_attach *message, struct error *err)
{
	int r = check_disk(message->serial, message->path, err);

	return r < 0 ? r : check_device_rules(message->device_rules, message->n_device_rules, err);
}

int validate_detach(const message_detach *message, struct error *err)
{
	int r = check_disk(message->serial, message->path, err);

	return r < 0 ? r : check_device_rules(message->device_rules, message->n_device_rules, err);
}

int validate_exec(const Katavm__Agent__V1__ExecProcessRequest *message, struct error *err)
{
	if (!is_id(message->exec_id))
		return invalid(err, "exec_id", "not of letters, digits, _ . and -");
	return check_process(message->process, err);
}

int validate_signal(const Katavm__Agent__V1__SignalProcessRequest *message, struct error *err)
{
	if (message->signal > MAX_SIGNAL)
		return invalid(err, "signal", "beyond 64");
	return 0;
}

#include "runtime/run_config.h"

#include "base/sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { ID_BYTES = 32, SHORT_ID = 12 };

static const uint64_t MIB = UINT64_C(1) << 20;

/* chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot
 * mknod audit_write setfcap: what Docker gives. */
static const uint64_t default_capabilities = 0xa80425fb;

static int make_id(struct arena *arena, struct run_config *out, struct error *err)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[ID_BYTES];
	long got = SYS_RETRY(getrandom, bytes, sizeof bytes, 0);
	char *id;

	if (got != sizeof bytes)
		return error_set(err, -EIO, "make an id: the host has no random numbers");
	id = arena_alloc(arena, (size_t)ID_BYTES * 2 + 1);
	for (size_t i = 0; i < ID_BYTES; i++) {
		id[2 * i] = digits[bytes[i] >> 4];
		id[2 * i + 1] = digits[bytes[i] & 15];
	}
	out->id = id;
	return 0;
}

static void collect(const struct options *options, const char *name, struct arena *arena,
		    struct texts *out)
{
	const char *value;

	for (size_t cursor = 0; (value = options_next(options, name, &cursor));)
		texts_add(arena, out, value);
}

static size_t count_of(const struct options *options, const char *name)
{
	size_t count = 0;

	for (size_t cursor = 0; options_next(options, name, &cursor);)
		count++;
	return count;
}

static int make_hosts(const struct options *options, struct arena *arena, struct run_config *out,
		      struct error *err)
{
	const char *value;

	out->hosts = arena_alloc(arena, count_of(options, "add-host") * sizeof *out->hosts);
	for (size_t cursor = 0; (value = options_next(options, "add-host", &cursor));) {
		char ip[64];
		size_t size;
		int result = parse_host(value, &size, ip, err);

		if (result < 0)
			return result;
		out->hosts[out->host_count++] =
		    (struct run_host){ .name = arena_text(arena, value, size),
				       .ip = arena_text(arena, ip, strlen(ip)) };
	}
	for (size_t cursor = 0; (value = options_next(options, "dns", &cursor));) {
		int result = parse_ip("dns", value, err);

		if (result < 0)
			return result;
	}
	collect(options, "dns", arena, &out->dns);
	collect(options, "dns-search", arena, &out->dns_search);
	collect(options, "dns-option", arena, &out->dns_options);
	return 0;
}

static int make_ulimits(const struct options *options, struct arena *arena, struct run_config *out,
			struct error *err)
{
	const char *value;

	out->ulimits = arena_alloc(arena, count_of(options, "ulimit") * sizeof *out->ulimits);
	for (size_t cursor = 0; (value = options_next(options, "ulimit", &cursor));) {
		int result = parse_ulimit(value, &out->ulimits[out->ulimit_count], err);

		if (result < 0)
			return result;
		out->ulimit_count++;
	}
	return 0;
}

static int make_sysctls(const struct options *options, struct arena *arena, struct run_config *out,
			struct error *err)
{
	const char *value;

	out->sysctls = arena_alloc(arena, count_of(options, "sysctl") * sizeof *out->sysctls);
	for (size_t cursor = 0; (value = options_next(options, "sysctl", &cursor));) {
		size_t size = strcspn(value, "=");

		if (size == 0 || value[size] == '\0')
			return error_set(err, -EINVAL, "--sysctl is NAME=VALUE, not \"%s\"", value);
		out->sysctls[out->sysctl_count++] =
		    (struct run_sysctl){ .name = arena_text(arena, value, size),
					 .value = value + size + 1 };
	}
	return 0;
}

static int make_capabilities(const struct options *options, struct run_config *out,
			     struct error *err)
{
	uint64_t add = 0, drop = 0, base = default_capabilities;
	const char *value;

	for (size_t cursor = 0; (value = options_next(options, "cap-add", &cursor));) {
		uint64_t mask;
		int result = parse_capability(value, &mask, err);

		if (result < 0)
			return result;
		add |= mask;
	}
	for (size_t cursor = 0; (value = options_next(options, "cap-drop", &cursor));) {
		uint64_t mask;
		int result = parse_capability(value, &mask, err);

		if (result < 0)
			return result;
		drop |= mask;
	}
	out->privileged = options_flag(options, "privileged");
	/* ALL on one side gives way to single names on the other. */
	if (out->privileged)
		out->capabilities = CAPABILITIES_ALL;
	else if (drop == CAPABILITIES_ALL)
		out->capabilities = add == CAPABILITIES_ALL ? 0 : add;
	else
		out->capabilities = (base | add) & ~drop;
	return 0;
}

static int make_security(const struct options *options, struct run_config *out, struct error *err)
{
	const char *value;

	for (size_t cursor = 0; (value = options_next(options, "security-opt", &cursor));) {
		if (strcmp(value, "no-new-privileges") == 0 ||
		    strcmp(value, "no-new-privileges:true") == 0 ||
		    strcmp(value, "no-new-privileges=true") == 0)
			out->no_new_privileges = true;
		else if (strcmp(value, "no-new-privileges:false") == 0 ||
			 strcmp(value, "no-new-privileges=false") == 0)
			out->no_new_privileges = false;
		else if (strcmp(value, "seccomp=unconfined") == 0)
			out->no_seccomp = true;
		else if (strcmp(value, "apparmor=unconfined") != 0 &&
			 strcmp(value, "label=disable") != 0) /* the guest has neither */
			return error_set(err, -ENOTSUP,
					 "--security-opt %s is not in this release: it takes "
					 "no-new-privileges and seccomp=unconfined",
					 value);
	}
	return 0;
}

static int make_sizes(const struct options *options, struct run_config *out, struct error *err)
{
	const struct {
		const char *flag;
		uint64_t least, most, *out;
	} sizes[] = {
		{ "memory", 6 * MIB, UINT64_C(1) << 42, &out->memory_bytes },
		{ "memory-max", 6 * MIB, UINT64_C(1) << 42, &out->memory_max_bytes },
		{ "shm-size", 1, UINT64_C(1) << 42, &out->shm_bytes },
	};

	out->memory_bytes = 512 * MIB;
	out->shm_bytes = 64 * MIB;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		const char *value = options_value(options, sizes[i].flag);
		int result;

		if (!value)
			continue;
		result = parse_bytes(sizes[i].flag, value, sizes[i].out, err);
		if (result < 0)
			return result;
		if (*sizes[i].out < sizes[i].least || *sizes[i].out > sizes[i].most)
			return error_set(err, -EINVAL, "--%s %s is too %s", sizes[i].flag, value,
					 *sizes[i].out < sizes[i].least ? "small" : "large");
	}
	if (out->memory_max_bytes > 0 && out->memory_max_bytes < out->memory_bytes)
		return error_set(err, -EINVAL, "--memory-max %s is less than --memory",
				 options_value(options, "memory-max"));
	return 0;
}

static int make_cpus(const struct options *options, struct run_config *out, struct error *err)
{
	const char *value = options_value(options, "cpus");
	uint64_t milli = 1000;
	int result = value ? parse_cpus(value, &milli, err) : 0;

	if (result < 0)
		return result;
	out->vcpu_count = (unsigned)((milli + 999) / 1000);
	/* whole processors are limited by how many the VM has */
	out->cpu_quota_us = milli % 1000 ? milli * 100 : 0;
	return 0;
}

static int make_number(const struct options *options, const char *flag, int64_t least, int64_t most,
		       int64_t *out, struct error *err)
{
	const char *value = options_value(options, flag);
	bool negative = value && value[0] == '-';
	uint64_t number;

	if (!value)
		return 0;
	if (!parse_number(value + negative, INT32_MAX, &number) ||
	    (negative ? -(int64_t)number : (int64_t)number) < least ||
	    (negative ? -(int64_t)number : (int64_t)number) > most)
		return error_set(err, -EINVAL, "--%s is a number from %ld to %ld, not \"%s\"", flag,
				 (long)least, (long)most, value);
	*out = negative ? -(int64_t)number : (int64_t)number;
	return 0;
}

static int make_numbers(const struct options *options, struct run_config *out, struct error *err)
{
	int64_t pids = -1, score = 0, stop = -1, timeout = RUN_DEFAULT_TIMEOUT_SECONDS,
		watchdog = RUN_DEFAULT_WATCHDOG_SECONDS;
	const char *restart = options_value(options, "restart");
	int result;

	if (restart && strcmp(restart, "no") != 0)
		return error_set(err, -ENOTSUP,
				 "--restart %s is not in this release: nothing restarts containers",
				 restart);
	result = make_number(options, "pids-limit", -1, INT32_MAX, &pids, err);
	if (result == 0)
		result = make_number(options, "oom-score-adj", -1000, 1000, &score, err);
	if (result == 0)
		result = make_number(options, "stop-timeout", -1, INT32_MAX / 1000, &stop, err);
	if (result == 0)
		result = make_number(options, "timeout", 1, 86400, &timeout, err);
	if (result == 0)
		result = make_number(options, "watchdog", 0, 86400, &watchdog, err);
	if (result == 0 && options_value(options, "stop-signal"))
		result =
		    parse_signal(options_value(options, "stop-signal"), &out->stop_signal, err);
	if (result < 0)
		return result;
	out->pids_max = pids > 0 ? pids : 0;
	out->oom_score_adj = (int)score;
	out->stop_seconds = (int)stop;
	out->timeout_seconds = (unsigned)timeout;
	out->watchdog_seconds = (unsigned)watchdog;
	out->watchdog_kills = options_flag(options, "watchdog-kill");
	return 0;
}

static int make_names(const struct options *options, struct arena *arena, struct run_config *out,
		      struct error *err)
{
	int result = make_id(arena, out, err);

	if (result < 0)
		return result;
	out->name = options_value(options, "name");
	if (out->name)
		result = parse_container_name(out->name, err);
	out->hostname = options_value(options, "hostname");
	if (result == 0 && out->hostname)
		result = parse_hostname(out->hostname, err);
	if (result < 0)
		return result;
	if (!out->hostname)
		out->hostname = arena_text(arena, out->id, SHORT_ID);
	out->domainname = options_value(options, "domainname");
	collect(options, "label", arena, &out->labels);
	for (size_t i = 0; i < out->labels.count; i++)
		if (out->labels.list[i][0] == '=' || out->labels.list[i][0] == '\0')
			return error_set(err, -EINVAL, "--label is KEY=VALUE, not \"%s\"",
					 out->labels.list[i]);
	return 0;
}

static int make_process(const struct options *options, struct arena *arena, struct run_config *out,
			struct error *err)
{
	out->interactive = options_flag(options, "interactive");
	out->terminal = options_flag(options, "tty");
	out->init = options_flag(options, "init");
	out->read_only = options_flag(options, "read-only");
	out->quiet = options_flag(options, "quiet");
	out->workdir = options_value(options, "workdir");
	out->user = options_value(options, "user");
	out->entrypoint = options_value(options, "entrypoint");
	collect(options, "env", arena, &out->env);
	collect(options, "env-file", arena, &out->env_files);
	collect(options, "group-add", arena, &out->groups);
	if (out->workdir && out->workdir[0] != '/')
		return error_set(err, -EINVAL, "--workdir is an absolute path, not \"%s\"",
				 out->workdir);
	if (out->user && out->user[0] == '\0')
		out->user = NULL;
	return 0;
}

int run_config_make(const struct options *options, struct arena *arena, struct run_config *out,
		    struct error *err)
{
	struct run_config config = {
		.image = options->arguments[0],
		.command = options->arguments + 1,
		.command_count = options->argument_count - 1,
		.root = options_value(options, "root"),
		.cidfile = options_value(options, "cidfile"),
		.platform = options_value(options, "platform"),
		.pull = options_value(options, "pull"),
		.progress = options_value(options, "progress"),
		.kernel = options_value(options, "kernel"),
		.trace = options_value(options, "trace"),
	};
	int result = run_network_make(options, arena, &config, err);

	if (!config.trace)
		config.trace = getenv("KATAVM_TRACE");
	if (result == 0)
		result = make_names(options, arena, &config, err);
	if (result == 0)
		result = make_process(options, arena, &config, err);
	if (result == 0)
		result = mount_flags_parse(options, arena, &config.mounts, err);
	if (result == 0)
		result = make_hosts(options, arena, &config, err);
	if (result == 0)
		result = make_ulimits(options, arena, &config, err);
	if (result == 0)
		result = make_sysctls(options, arena, &config, err);
	if (result == 0)
		result = make_capabilities(options, &config, err);
	if (result == 0)
		result = make_security(options, &config, err);
	if (result == 0)
		result = make_sizes(options, &config, err);
	if (result == 0)
		result = run_disk_make(options, &config, err);
	if (result == 0)
		result = make_cpus(options, &config, err);
	if (result == 0)
		result = make_numbers(options, &config, err);
	if (result == 0)
		*out = config;
	return result;
}

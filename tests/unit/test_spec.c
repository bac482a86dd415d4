#include "runtime/spec.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef Katavm__Agent__V1__CreateContainerRequest create_request;

static struct arena arena;
static struct options options;
static struct run_config config;
static struct error err;
static create_request *request;
static struct net net; /* that make gives to the container */
static const struct command command = { .name = "run",
					.options = run_options,
					.stops_at_argument = true };

static char *words[] = { (char[]){ "/bin/app" }, (char[]){ "-x" }, NULL };
static char *cmd[] = { (char[]){ "serve" }, NULL };
static char *env[] = { (char[]){ "PATH=/bin" }, (char[]){ "MODE=image" }, NULL };
static struct image_config image;

static int make_with(const char *line, bool open_shares)
{
	static struct shares shares;
	static char copy[512];
	char *list[32];
	size_t count = 0;
	struct spec_input input = {
		.config = &config, .image = &image, .layer_count = 2, .net = &net
	};
	int result;

	options_finish(&options);
	(void)snprintf(copy, sizeof copy, "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		list[count++] = word;
	result = options_parse(&command, count, list, &options, &err);
	if (result == 0)
		result = run_config_make(&options, &arena, &config, &err);
	if (result == 0 && open_shares) {
		shares.count = 0;
		input.shares = &shares;
		result = shares_open(&config, &arena, &shares, &err);
	}
	if (result == 0)
		result = spec_make(&input, &arena, &request, &err);
	shares_close(&shares);
	return result;
}

static int make(const char *line)
{
	return make_with(line, false);
}

static void set_up(void)
{
	image = (struct image_config){
		.entrypoint = { words, 2 },
		.cmd = { cmd, 1 },
		.env = { env, 2 },
	};
}

static void tear_down(void)
{
	options_finish(&options);
	arena_finish(&arena);
}

static const char *variable(const char *key)
{
	for (size_t i = 0; i < request->process->n_env; i++)
		if (strncmp(request->process->env[i], key, strlen(key)) == 0 &&
		    request->process->env[i][strlen(key)] == '=')
			return request->process->env[i] + strlen(key) + 1;
	return NULL;
}

static const Katavm__Agent__V1__Mount *mount_on(const char *path)
{
	for (size_t i = 0; i < request->n_mounts; i++)
		if (strcmp(request->mounts[i]->destination, path) == 0)
			return request->mounts[i];
	return NULL;
}

static bool has_option(const Katavm__Agent__V1__Mount *mount, const char *option)
{
	for (size_t i = 0; mount && i < mount->n_options; i++)
		if (strcmp(mount->options[i], option) == 0)
			return true;
	return false;
}

static void args_are(const char *expected)
{
	char joined[256] = "";
	size_t at = 0;

	for (size_t i = 0; i < request->process->n_args; i++)
		at += (size_t)snprintf(joined + at, sizeof joined - at, "%s%s", i ? " " : "",
				       request->process->args[i]);
	cr_assert_str_eq(joined, expected);
}

TestSuite(spec, .init = set_up, .fini = tear_down);

Test(spec, entrypoint_and_command)
{
	cr_assert_eq(make("img"), 0);
	args_are("/bin/app -x serve");
	cr_assert_eq(make("img ls -l"), 0);
	args_are("/bin/app -x ls -l");
	cr_assert_eq(make("--entrypoint /bin/sh img -c true"), 0);
	args_are("/bin/sh -c true");
	cr_assert_eq(make("--entrypoint /bin/sh img"), 0);
	args_are("/bin/sh");
	cr_assert_eq(make("--entrypoint= img ls"), 0);
	args_are("ls");
	cr_assert_lt(make("--entrypoint= img"), 0);
	cr_assert_not_null(strstr(err.text, "no command"));
}

Test(spec, environment_in_dockers_order)
{
	cr_assert_eq(make("-e MODE=mine -e X=1 --hostname box img"), 0);
	cr_assert_str_eq(variable("PATH"), "/bin");
	cr_assert_str_eq(variable("MODE"), "mine");
	cr_assert_str_eq(variable("HOSTNAME"), "box");
	cr_assert_null(variable("TERM"));
	image.env.count = 0;
	cr_assert_eq(make("-t img"), 0);
	cr_assert_str_eq(variable("TERM"), "xterm");
	cr_assert_str_eq(variable("PATH"),
			 "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	cr_assert_eq(strlen(request->id), 64);
	cr_assert_eq(strlen(request->hostname), 12);
	cr_assert_lt(make("--env-file /nonexistent/file img"), 0);
}

Test(spec, rights)
{
	cr_assert_eq(make("img"), 0);
	cr_assert_eq(request->process->capabilities->bounding, 0xa80425fb);
	cr_assert_eq(request->process->capabilities->inheritable, 0);
	cr_assert_gt(request->process->seccomp_bpf.len, 0);
	cr_assert_eq(request->process->seccomp_bpf.len % 8, 0);
	cr_assert_gt(request->n_masked_paths, 0);
	cr_assert_eq(make("--cap-drop ALL --cap-add CHOWN img"), 0);
	cr_assert_eq(request->process->capabilities->bounding, 1);
	cr_assert_eq(make("--cap-add=ALL --cap-drop=CAP_CHOWN img"), 0);
	cr_assert_eq(request->process->capabilities->bounding, CAPABILITIES_ALL & ~1ULL);
	cr_assert_eq(make("--privileged img"), 0);
	cr_assert_eq(request->process->capabilities->effective, CAPABILITIES_ALL);
	cr_assert_eq(request->process->seccomp_bpf.len, 0);
	cr_assert_eq(request->n_masked_paths, 0);
	cr_assert(has_option(mount_on("/sys"), "rw"));
	cr_assert_eq(make("--security-opt seccomp=unconfined --security-opt no-new-privileges img"),
		     0);
	cr_assert_eq(request->process->seccomp_bpf.len, 0);
	cr_assert(request->process->no_new_privileges);
	cr_assert_lt(make("--security-opt seccomp=/my.json img"), 0);
}

Test(spec, a_capability_compiles_its_own_filter)
{
	ProtobufCBinaryData usual, own;

	cr_assert_eq(make("img"), 0);
	usual = request->process->seccomp_bpf;
	cr_assert_eq(make("--cap-add SYS_PTRACE img"), 0);
	own = request->process->seccomp_bpf;
	cr_assert(own.len != usual.len || memcmp(own.data, usual.data, own.len) != 0);
	cr_assert_eq(make("--cap-add NET_ADMIN img"), 0);
	cr_assert_eq(request->process->seccomp_bpf.data, usual.data);
	cr_assert_leq(usual.len / 8, 4096, "more than the kernel takes");
}

Test(spec, mounts)
{
	cr_assert_eq(make("--shm-size 1m --tmpfs /run/a/b --tmpfs /run:rw,size=64k img"), 0);
	cr_assert(has_option(mount_on("/dev/shm"), "size=1048576"));
	cr_assert(has_option(mount_on("/run"), "size=64k"));
	cr_assert(has_option(mount_on("/run"), "noexec"));
	cr_assert_str_eq(request->mounts[request->n_mounts - 1]->destination, "/run/a/b");
	cr_assert_eq(make("--tmpfs /dev/shm:size=5m img"), 0);
	cr_assert(has_option(mount_on("/dev/shm"), "size=5m"));
	cr_assert_lt(make("--tmpfs relative img"), 0);
	cr_assert_eq(request->rootfs->n_layer_serials, 2);
	cr_assert_str_eq(request->rootfs->layer_serials[1], "layer1");
	cr_assert_str_eq(request->rootfs->scratch_serial, "scratch");
	cr_assert_eq(make("--disk 0 --read-only img"), 0);
	cr_assert_str_eq(request->rootfs->scratch_serial, "");
	cr_assert(request->rootfs->readonly);
}

Test(spec, volumes_stay_writable_below_a_read_only_root)
{
	char *volumes[] = { (char[]){ "/data" }, NULL };

	image.volumes.items = volumes;
	image.volumes.count = 1;
	cr_assert_eq(make("img"), 0);
	cr_assert_str_eq(mount_on("/data")->type, "bind");
	cr_assert_str_eq(mount_on("/data")->source, "");
	cr_assert_eq(make("--read-only img"), 0);
	cr_assert(has_option(mount_on("/data"), "tmpcopyup"));
	cr_assert_eq(make("--read-only --tmpfs /data:size=1m img"), 0);
	cr_assert_not(has_option(mount_on("/data"), "tmpcopyup"));
}

Test(spec, files)
{
	cr_assert_eq(make("--add-host db:10.1.2.3 --dns 1.1.1.1 --dns-search a.example -h box img"),
		     0);
	cr_assert_eq(request->n_files, 3);
	cr_assert_str_eq((char *)request->files[0]->content.data, "box\n");
	cr_assert_not_null(strstr((char *)request->files[1]->content.data, "10.1.2.3\tdb\n"));
	cr_assert_str_eq((char *)request->files[2]->content.data,
			 "search a.example\nnameserver 1.1.1.1\n");
	cr_assert_eq(make("img"), 0);
	cr_assert_eq(request->n_files, 2);
	cr_assert_lt(make("--dns nowhere img"), 0);
}

Test(spec, limits)
{
	cr_assert_eq(make("--cpus 1.5 -m 64m --pids-limit 20 --ulimit nofile=9 img"), 0);
	cr_assert_eq(config.vcpu_count, 2);
	cr_assert_eq(request->resources->cpu_quota_us, 150000);
	cr_assert_eq(request->resources->memory_max, 64 << 20);
	cr_assert_eq(request->resources->pids_max, 20);
	cr_assert_eq(request->process->n_rlimits, 2);
	cr_assert_eq(request->process->rlimits[0]->hard, 9);
	cr_assert_eq(make("--cpus 2 --pids-limit -1 img"), 0);
	cr_assert_eq(request->resources->cpu_quota_us, 0);
	cr_assert_eq(request->resources->pids_max, 0);
	cr_assert_lt(make("-m 1m img"), 0);
	cr_assert_str_eq(err.text, "--memory 1m is too small");
	cr_assert_lt(make("--disk 1m img"), 0);
	cr_assert_lt(make("--pids-limit many img"), 0);
}

Test(spec, users_and_signals)
{
	cr_assert_eq(make("img"), 0);
	cr_assert_str_eq(request->process->user->name, "0:0");
	cr_assert_str_eq(request->process->cwd, "/");
	image.user = (char[]){ "www-data" };
	image.workdir = (char[]){ "/srv" };
	image.stop_signal = (char[]){ "SIGQUIT" };
	cr_assert_eq(make("--group-add 27 img"), 0);
	cr_assert_str_eq(request->process->user->name, "www-data");
	cr_assert_eq(request->process->user->n_additional_groups, 1);
	cr_assert_str_eq(request->process->cwd, "/srv");
	cr_assert_eq(spec_stop_signal(&config, &image), SIGQUIT);
	cr_assert_eq(make("-u 5:6 -w /tmp --stop-signal INT img"), 0);
	cr_assert_str_eq(request->process->user->name, "5:6");
	cr_assert_str_eq(request->process->cwd, "/tmp");
	cr_assert_eq(spec_stop_signal(&config, &image), SIGINT);
	cr_assert_lt(make("-w relative img"), 0);
	cr_assert_eq(request->process->stdio->stdin_port, 0);
	cr_assert_eq(make("-it img"), 0);
	cr_assert_eq(request->process->stdio->stderr_port, 0);
	cr_assert_neq(request->process->stdio->stdin_port, 0);
}

Test(spec, shares_are_mounted_by_tag)
{
	bool folder = false, file = false;

	cr_assert_eq(make_with("-v /tmp:/deep/er -v /proc/self/status:/a:ro img", true), 0);
	for (size_t i = 0; i < request->n_mounts; i++) {
		const Katavm__Agent__V1__Mount *mount = request->mounts[i];

		if (strcmp(mount->type, "virtiofs") != 0)
			continue;
		folder |= strcmp(mount->source, "share-0") == 0 &&
			  strcmp(mount->destination, "/deep/er") == 0 && file;
		file |= strcmp(mount->source, "share-1/status") == 0 &&
			strcmp(mount->destination, "/a") == 0 &&
			strcmp(mount->options[mount->n_options - 1], "ro") == 0;
	}
	cr_assert(folder && file, "the outer comes first");
}

Test(spec, refusals_are_sentences)
{
	cr_assert_lt(make("--network host img"), 0);
	cr_assert_not_null(strstr(err.text, "cannot be"));
	cr_assert_lt(make_with("--mount type=bind,source=/nosuch-folder,target=/b img", true), 0);
	cr_assert_not_null(strstr(err.text, "share /nosuch-folder: No such file"));
	cr_assert_lt(make_with("-v /dev/null:/b img", true), 0);
	cr_assert_not_null(strstr(err.text, "neither a folder nor an ordinary file"));
	cr_assert_lt(make("-v /tmp:/b:rx img"), 0);
	cr_assert_not_null(strstr(err.text, "\"rx\" is not an option"));
	cr_assert_lt(make("--restart always img"), 0);
	cr_assert_eq(make("--restart no --rm img"), 0);
}

Test(spec, files_of_a_network)
{
	struct net_name names[] = { { .names = "box peer" } };

	cr_assert(ip_parse("10.9.0.2", &names[0].ip));
	net.names = names;
	net.name_count = 1;
	texts_add(&arena, &net.dns, "10.9.0.1");
	texts_add(&arena, &net.dns_search, "lan");
	cr_assert_eq(make("img"), 0);
	cr_assert_not_null(strstr((char *)request->files[1]->content.data, "10.9.0.2\tbox peer\n"));
	cr_assert_str_eq((char *)request->files[2]->content.data,
			 "search lan\nnameserver 10.9.0.1\n");
	cr_assert_eq(make("--dns 1.1.1.1 img"), 0);
	cr_assert_str_eq((char *)request->files[2]->content.data,
			 "search lan\nnameserver 1.1.1.1\n");
}

Test(spec, networks)
{
	cr_assert_eq(make("img"), 0);
	cr_assert_str_eq(config.network, "default");
	cr_assert(config.network_optional);
	cr_assert_eq(make("--network bridge --network-alias db --ip 10.1.2.3 img"), 0);
	cr_assert_str_eq(config.network, "default");
	cr_assert(!config.network_optional && config.aliases.count == 1 && config.ip.size == 4);
	cr_assert_eq(make("--net front img"), 0);
	cr_assert_str_eq(config.network, "front");
	cr_assert_eq(make("--network none img"), 0);
	cr_assert_null(config.network);
	cr_assert_eq(make("--no-net img"), 0);
	cr_assert_null(config.network);
	cr_assert_lt(make("--no-net --network default img"), 0);
	cr_assert_lt(make("--network none --ip 10.1.2.3 img"), 0);
	cr_assert_lt(make("--ip fd00::1 img"), 0);
	cr_assert_lt(make("--ip 10.1.2 img"), 0);
	cr_assert_lt(make("--network a/b img"), 0);
	cr_assert_eq(make("--network front,rate=1m img"), 0);
	cr_assert_str_eq(config.network, "front");
	cr_assert_eq(config.interface_options.send.bytes, 1 << 20);
	cr_assert_eq(make("--network bridge,packets=5:9 img"), 0);
	cr_assert_str_eq(config.network, "default");
	cr_assert_eq(config.interface_options.receive.operations_burst, 9);
	cr_assert_lt(make("--network none,rate=1m img"), 0);
	cr_assert_lt(make("--network ,rate=1m img"), 0);
	cr_assert_lt(make("--network default, img"), 0);
	cr_assert_lt(make("--network-alias a_b! img"), 0);
}

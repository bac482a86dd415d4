#include "tests/agent/client.h"

#include "base/own.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define AGENT (&katavm__agent__v1__agent__descriptor)

enum { CONTROL_PORT = 1024, LIMIT_MS = 60000 };

__attribute__((format(printf, 1, 2))) _Noreturn static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	exit(2);
}

static int listen_on(const char *folder, uint32_t port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/%u", folder, port);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(fd, 4) < 0)
		die("listen on %s: %s", address.sun_path, strerror(errno));
	return fd;
}

void host_open(struct host *host, const char *folder)
{
	Katavm__Agent__V1__SetUpSandboxRequest request =
	    KATAVM__AGENT__V1__SET_UP_SANDBOX_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	struct error err = { 0 };
	own_fd listener = listen_on(folder, CONTROL_PORT);
	int fd;

	*host = (struct host){ .next_port = 2048 };
	(void)snprintf(host->folder, sizeof host->folder, "%s", folder);
	(void)printf("listening\n");
	(void)fflush(stdout);
	fd = accept(listener, NULL, NULL);
	if (fd < 0 || ttrpc_client_create(fd, 1 << 16, &host->client) < 0)
		die("no connection from the agent");
	request.protocol_version = 1;
	if (ttrpc_client_call_wait(host->client, AGENT, "SetUpSandbox", &request.base, 10000,
				   &response, &err) < 0)
		die("set up: %s", err.text);
	protobuf_c_message_free_unpacked(response, NULL);
}

void host_listen(struct host *host, struct output *output)
{
	output->port = host->next_port++;
	output->listener = listen_on(host->folder, output->port);
	output->fd = -1;
}

static void output_close(struct output *output)
{
	if (output->fd >= 0)
		(void)close(output->fd);
	if (output->listener > 0)
		(void)close(output->listener);
	output->fd = output->listener = -1;
}

void spec_mount(struct spec *spec, const char *destination, const char *type, const char *source,
		char **options, size_t count)
{
	mount_message *mount = &spec->mounts[spec->request.n_mounts];

	katavm__agent__v1__mount__init(mount);
	mount->destination = (char *)(uintptr_t)destination;
	mount->type = (char *)(uintptr_t)type;
	mount->source = (char *)(uintptr_t)source;
	mount->options = options;
	mount->n_options = count;
	spec->mount_list[spec->request.n_mounts++] = mount;
}

static void add_usual_mounts(struct spec *spec)
{
	static char *dev[] = { "nosuid", "strictatime", "mode=755", "size=65536k" };
	static char *pts[] = { "nosuid",        "noexec",    "newinstance",
			       "ptmxmode=0666", "mode=0620", "gid=5" };
	static char *strict[] = { "nosuid", "noexec", "nodev" };
	static char *readonly[] = { "nosuid", "noexec", "nodev", "ro" };
	static char *shm[] = { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" };

	spec_mount(spec, "/proc", "proc", "proc", strict, 3);
	spec_mount(spec, "/dev", "tmpfs", "tmpfs", dev, 4);
	spec_mount(spec, "/dev/pts", "devpts", "devpts", pts, 6);
	spec_mount(spec, "/sys", "sysfs", "sysfs", readonly, 4);
	spec_mount(spec, "/sys/fs/cgroup", "cgroup", "cgroup", readonly, 4);
	spec_mount(spec, "/dev/mqueue", "mqueue", "mqueue", strict, 3);
	spec_mount(spec, "/dev/shm", "tmpfs", "shm", shm, 5);
}

void spec_init(struct host *host, struct spec *spec, const char *script)
{
	static char *types[] = { "pid", "mount", "ipc", "uts", "cgroup" };

	memset(spec, 0, sizeof *spec);
	katavm__agent__v1__create_container_request__init(&spec->request);
	katavm__agent__v1__process__init(&spec->process);
	katavm__agent__v1__user__init(&spec->user);
	katavm__agent__v1__stdio__init(&spec->stdio);
	katavm__agent__v1__rootfs__init(&spec->rootfs);
	katavm__agent__v1__capabilities__init(&spec->capabilities);
	katavm__agent__v1__resources__init(&spec->resources);
	(void)snprintf(spec->id, sizeof spec->id, "t%u", host->next_id++);
	spec->request.id = spec->id;
	spec->request.start = true;
	spec->request.rootfs = &spec->rootfs;
	spec->request.process = &spec->process;
	spec->request.mounts = spec->mount_list;
	spec->layers[0] = "base";
	spec->rootfs.layer_serials = spec->layers;
	spec->rootfs.n_layer_serials = 1;
	spec->request.namespaces = spec->namespace_list;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		katavm__agent__v1__namespace__init(&spec->namespaces[i]);
		spec->namespaces[i].type = types[i];
		spec->namespace_list[i] = &spec->namespaces[i];
		spec->request.n_namespaces++;
	}
	add_usual_mounts(spec);
	spec->capabilities.bounding = spec->capabilities.effective = spec->capabilities.permitted =
	    UINT64_MAX;
	spec->process.capabilities = &spec->capabilities;
	spec->process.user = &spec->user;
	spec->process.stdio = &spec->stdio;
	spec->args[0] = "/bin/sh";
	spec->args[1] = "-c";
	spec->args[2] = (char *)(uintptr_t)script;
	spec->process.args = spec->args;
	spec->process.n_args = 3;
	spec->env[0] = "PATH=/bin";
	spec->process.env = spec->env;
	spec->process.n_env = 1;
}

static bool take_output(struct output *output, short events)
{
	char bytes[1 << 16];
	ssize_t got;

	if (!events)
		return true;
	if (output->fd < 0) {
		output->fd = accept(output->listener, NULL, NULL);
		return output->fd >= 0;
	}
	if (output->pause_us)
		(void)usleep(output->pause_us);
	got = read(output->fd, bytes, sizeof bytes);
	if (got <= 0) {
		output->ended = true;
		output_close(output);
		return got == 0;
	}
	for (ssize_t i = 0; i < got && output->total + (uint64_t)i < OUTPUT_LIMIT - 1; i++)
		output->text[output->total + (uint64_t)i] = bytes[i];
	output->total += (uint64_t)got;
	return true;
}

static int output_fd(const struct output *output)
{
	if (output->port == 0 || output->ended)
		return -1;
	return output->fd >= 0 ? output->fd : output->listener;
}

void host_serve(struct host *host, struct result *result, bool (*done)(const struct result *))
{
	uint64_t limit = ttrpc_now_ns() + LIMIT_MS * 1000000ULL;

	while (!done(result)) {
		struct pollfd fds[] = {
			{ .fd = ttrpc_client_fd(host->client),
			  .events = ttrpc_client_events(host->client) },
			{ .fd = output_fd(&result->out), .events = POLLIN },
			{ .fd = output_fd(&result->err), .events = POLLIN },
		};

		if (poll(fds, 3, 1000) < 0)
			die("poll: %s", strerror(errno));
		if (fds[0].revents && ttrpc_client_process(host->client) < 0)
			die("the agent is gone");
		if (!take_output(&result->out, fds[1].revents) ||
		    !take_output(&result->err, fds[2].revents))
			die("a stream broke");
		if (ttrpc_now_ns() > limit)
			die("nothing happened for too long");
	}
}

static void take_started(struct result *result,
			 const Katavm__Agent__V1__StartProcessResponse *started)
{
	result->started = true;
	if (!started)
		return;
	result->exec_errno = started->exec_errno;
	(void)snprintf(result->message, sizeof result->message, "%s", started->message);
}

static void on_started(void *context, const struct ttrpc_reply *reply)
{
	struct result *result = context;

	result->code = reply->code;
	if (reply->code != TTRPC_OK) {
		result->started = true;
		(void)snprintf(result->message, sizeof result->message, "%s", reply->text);
	} else if (reply->response->descriptor ==
		   &katavm__agent__v1__create_container_response__descriptor) {
		take_started(result,
			     ((const Katavm__Agent__V1__CreateContainerResponse *)(const void *)
				  reply->response)
				 ->started);
	} else {
		take_started(result, (const void *)reply->response);
	}
}

static void on_ended(void *context, const struct ttrpc_reply *reply)
{
	const Katavm__Agent__V1__WaitProcessResponse *response = (const void *)reply->response;
	struct result *result = context;

	result->ended = true;
	if (!response)
		die("wait: %s", reply->text);
	result->exit_code = response->exit_code;
	result->signal = response->signal;
	result->oom_killed = response->oom_killed;
}

static bool is_started(const struct result *result)
{
	return result->started;
}

static bool is_over(const struct result *result)
{
	return result->ended && (result->held || ((result->out.ended || !result->out.port) &&
						  (result->err.ended || !result->err.port)));
}

static void open_streams(struct host *host, process_message *process, struct result *result)
{
	host_listen(host, &result->out);
	process->stdio->stdout_port = result->out.port;
	if (!process->terminal) {
		host_listen(host, &result->err);
		process->stdio->stderr_port = result->err.port;
	}
}

void host_start(struct host *host, struct spec *spec, struct result *result)
{
	open_streams(host, &spec->process, result);
	if (ttrpc_client_call(host->client, AGENT, "CreateContainer", &spec->request.base, 0,
			      on_started, result) < 0)
		die("cannot call");
	host_serve(host, result, is_started);
}

static void wait_for(struct host *host, const char *id, const char *exec_id, struct result *result)
{
	Katavm__Agent__V1__WaitProcessRequest request =
	    KATAVM__AGENT__V1__WAIT_PROCESS_REQUEST__INIT;

	request.container_id = (char *)(uintptr_t)id;
	request.exec_id = (char *)(uintptr_t)exec_id;
	if (ttrpc_client_call(host->client, AGENT, "WaitProcess", &request.base, 0, on_ended,
			      result) < 0)
		die("cannot call");
	host_serve(host, result, is_over);
}

void host_wait(struct host *host, const struct spec *spec, struct result *result)
{
	wait_for(host, spec->id, "", result);
}

static bool failed(struct result *result)
{
	if (result->code == TTRPC_OK && result->exec_errno == 0)
		return false;
	output_close(&result->out);
	output_close(&result->err);
	return true;
}

void host_run(struct host *host, struct spec *spec, struct result *result)
{
	host_start(host, spec, result);
	if (failed(result))
		return;
	host_wait(host, spec, result);
	host_delete(host, spec);
}

void host_exec(struct host *host, const struct spec *spec, const char *exec_id,
	       process_message *process, struct result *result)
{
	Katavm__Agent__V1__ExecProcessRequest request =
	    KATAVM__AGENT__V1__EXEC_PROCESS_REQUEST__INIT;

	request.container_id = (char *)(uintptr_t)spec->id;
	request.exec_id = (char *)(uintptr_t)exec_id;
	request.process = process;
	open_streams(host, process, result);
	if (ttrpc_client_call(host->client, AGENT, "ExecProcess", &request.base, 0, on_started,
			      result) < 0)
		die("cannot call");
	host_serve(host, result, is_started);
	if (!failed(result))
		wait_for(host, spec->id, exec_id, result);
}

static void on_code(void *context, const struct ttrpc_reply *reply)
{
	struct result *result = context;

	result->started = true;
	result->code = reply->code;
	(void)snprintf(result->message, sizeof result->message, "%s", reply->text);
}

enum ttrpc_code host_call(struct host *host, const char *method, const ProtobufCMessage *message)
{
	struct result *result = calloc(1, sizeof *result);
	enum ttrpc_code code;

	if (!result ||
	    ttrpc_client_call(host->client, AGENT, method, message, 0, on_code, result) < 0)
		die("cannot call %s", method);
	host_serve(host, result, is_started);
	code = result->code;
	if (code != TTRPC_OK)
		(void)printf("  %s: %s\n", method, result->message);
	free(result);
	return code;
}

void host_delete(struct host *host, const struct spec *spec)
{
	Katavm__Agent__V1__DeleteContainerRequest request =
	    KATAVM__AGENT__V1__DELETE_CONTAINER_REQUEST__INIT;

	request.container_id = (char *)(uintptr_t)spec->id;
	if (host_call(host, "DeleteContainer", &request.base) != TTRPC_OK)
		die("cannot delete %s", spec->id);
}

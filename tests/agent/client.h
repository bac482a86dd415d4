#pragma once
#include "agent/protocol/agent.pb-c.h"
#include "agent/protocol/ttrpc_client.h"
#include <stdbool.h>
#include <stddef.h>

/* The host's side for tests of a real agent. Everything that goes wrong outside of what a test
 * looks at ends the program. */
typedef Katavm__Agent__V1__CreateContainerRequest create_request;
typedef Katavm__Agent__V1__Process process_message;
typedef Katavm__Agent__V1__Mount mount_message;

enum { OUTPUT_LIMIT = 1 << 16 };

struct output { /* one stream of a process */
	uint32_t port;
	int listener, fd;
	bool ended;
	uint64_t total;          /* bytes received */
	char text[OUTPUT_LIMIT]; /* the first of them, terminated */
	unsigned pause_us;       /* between reads: a slow reader */
};

struct result {
	struct output out, err;
	int exec_errno;
	char message[512];    /* of the failure to execute, or of the refusal */
	enum ttrpc_code code; /* of the refusal */
	bool started, ended;
	bool held; /* streams may stay open behind the process's end */
	unsigned exit_code, signal;
	bool oom_killed;
};

/* A container with what `katavm run` would give: namespaces, usual mounts, all capabilities. The
 * strings are shared; ids are new ones. */
struct spec {
	create_request request;
	process_message process;
	Katavm__Agent__V1__User user;
	Katavm__Agent__V1__Stdio stdio;
	Katavm__Agent__V1__Rootfs rootfs;
	Katavm__Agent__V1__Capabilities capabilities;
	Katavm__Agent__V1__Resources resources;
	mount_message mounts[16], *mount_list[16];
	Katavm__Agent__V1__Namespace namespaces[8], *namespace_list[8];
	char *args[8], *env[8], *layers[4];
	char id[32];
};

struct host {
	struct ttrpc_client *client;
	char folder[64];
	uint32_t next_port;
	unsigned next_id;
};

/* Starts nothing: waits for the agent to connect to folder/1024 and sets the sandbox up. */
void host_open(struct host *host, const char *folder);
void host_listen(struct host *host, struct output *output);

void spec_init(struct host *host, struct spec *spec, const char *script);
void spec_mount(struct spec *spec, const char *destination, const char *type, const char *source,
		char **options, size_t count);

/* Creates and starts it, with streams. */
void host_start(struct host *host, struct spec *spec, struct result *result);
/* ... and waits for its end and its output's. */
void host_run(struct host *host, struct spec *spec, struct result *result);
void host_wait(struct host *host, const struct spec *spec, struct result *result);
void host_exec(struct host *host, const struct spec *spec, const char *exec_id,
	       process_message *process, struct result *result);
void host_delete(struct host *host, const struct spec *spec);
/* Any method without an interesting answer: its code. */
enum ttrpc_code host_call(struct host *host, const char *method, const ProtobufCMessage *message);
/* Serves connection and streams until done() or the time is up, which is fatal. */
void host_serve(struct host *host, struct result *result, bool (*done)(const struct result *));

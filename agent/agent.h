#pragma once
#include "agent/loop.h"
#include "agent/protocol/ttrpc_server.h"
#include <stdbool.h>
#include <stdint.h>

/* A null device in the agent's own root. */
#define AGENT_NULL_PATH "/null"

struct container;

/* Everything the agent knows; one per guest, owned by main. */
struct agent {
	struct loop loop;
	struct ttrpc_server *server;
	struct watch server_watch, signal_watch;
	int cgroup_root; /* -1 until the first container */
	int null_device;
	int pid_namespace; /* the agent's own, while it makes processes in another; else -1 */
	bool set_up;       /* SetUpSandbox was answered or is being */
	struct container *containers;
	unsigned next_place;
	uint64_t main_ns, hello_ns;   /* CLOCK_BOOTTIME */
	struct ttrpc_call *shut_down; /* being answered once every process has ended */
	bool reboot;
	struct timer shut_down_timer;
	struct timer look_timer; /* devices.c */
};

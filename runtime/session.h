#pragma once
#include "agent/protocol/agent.pb-c.h"
#include "runtime/run_config.h"
#include "runtime/sandbox.h"
#include "runtime/trace.h"

/* A container in the foreground: from a VM that is booting to the exit status of its process. */

enum { /* exit statuses that are katavm's own, as Docker's */
       SESSION_FAILED = 125,
       SESSION_NOT_EXECUTABLE = 126,
       SESSION_NOT_FOUND = 127,
       SESSION_SIGNAL = 128, /* plus the signal's number */
};

struct session_input {
	const struct run_config *config;
	const struct image *image;
	struct sandbox *sandbox;
	Katavm__Agent__V1__CreateContainerRequest *container;
	struct net *net;
	struct shares *shares;
	Katavm__Agent__V1__Interface **interfaces; /* as many as net has */
	const struct trace *trace;
	const char *socket; /* where other katavm processes reach this one: runtime/monitor.h */
};

/* Sends the container to the agent, carries signals and the terminal's size to it, and returns the
 * exit status for the caller. What went wrong has been printed. */
int session_run(const struct session_input *input);

#pragma once
#include "agent/agent.h"

/* The Agent service of agent.proto, for ttrpc_server_create; context is a struct agent. */
struct ttrpc_service server_service(struct agent *agent);

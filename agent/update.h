#pragma once
#include "agent/agent.h"
#include "agent/message.h"

/* Changes a running container's limits and answers the call, perhaps later. The message, which is
 * valid, is the call's. */
void update_container(struct agent *agent, const message_update *message, struct ttrpc_call *call);

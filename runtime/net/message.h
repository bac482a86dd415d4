#pragma once
#include "agent/protocol/agent.pb-c.h"
#include "runtime/net/net.h"

/* What the agent is told of the interfaces: a list in arena that points into net. */
Katavm__Agent__V1__Interface **net_message_make(const struct net *net, struct arena *arena);

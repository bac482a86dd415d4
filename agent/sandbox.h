#pragma once
#include "agent/agent.h"
#include "agent/message.h"
#include "base/error.h"

/* The guest as a whole: clock, entropy, names, its end. */
/* smooth: a small difference is made up for slowly. */
int sandbox_set_time(uint64_t realtime_ns, bool smooth);
int sandbox_add_entropy(const void *bytes, size_t size);

/* All of SetUpSandbox but its containers. */
int sandbox_set_up(const message_sandbox *message, struct error *err);

/* Ends every process; once they are gone, and written data with them, answers the call and powers
 * off, or reboots. */
void sandbox_shut_down(struct agent *agent, struct ttrpc_call *call, bool reboot);

/* A process has ended: goes on with a shutdown that waits for it. */
void sandbox_process_ended(struct agent *agent);

_Noreturn void sandbox_power_off(bool reboot);

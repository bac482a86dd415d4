#pragma once
#include "agent/message.h"
#include "agent/users.h"
#include "base/error.h"

/* What a process may do: limits, user, capabilities, system calls. Called by the process itself, in
 * the order below. */
int identity_set_limits(const message_process *process, struct error *err);

/* Becomes the user, with exactly these capabilities. */
int identity_become(const struct user *user, const message_capabilities *capabilities,
		    struct error *err);

/* no_new_privs and the seccomp filter. A filter without no_new_privs needs a capability, so it is
 * installed before identity_become then, and after it otherwise: call it in both places. */
enum identity_when { IDENTITY_PRIVILEGED, IDENTITY_LAST };
int identity_filter(const message_process *process, enum identity_when when, struct error *err);

/* RLIMIT_NOFILE's number, -1 for an unknown name. */
int identity_limit_number(const char *name);

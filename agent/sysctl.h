#pragma once
#include "agent/message.h"
#include "base/error.h"
#include <stddef.h>

/* Sets them in the caller's namespaces. */
int sysctl_set(message_sysctl *const *sysctls, size_t count, struct error *err);

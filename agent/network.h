#pragma once
#include "agent/message.h"
#include "base/error.h"

enum { NETWORK_MAX_INTERFACES = 16 };

/* 127.0.0.1 and ::1 of the caller's network namespace become usable. */
int network_raise_loopback(void);

/* The interfaces with their names, addresses, routes and neighbours, in the caller's network
 * namespace. They have been validated. An error names the interface and what was done to it. */
int network_set_up(message_interface *const *interfaces, size_t count, struct error *err);

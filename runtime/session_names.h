#pragma once
#include "runtime/session.h"

/* Somebody came to the container's network, or left it: its /etc/hosts says so. Where the container
 * cannot be written to it stays as it was. */
void session_write_hosts(const struct session_input *input);

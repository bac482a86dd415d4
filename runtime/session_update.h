#pragma once
#include "runtime/monitor.h"

/* The method "update": {"memory": BYTES}. Answers when the container may use so much, or has not
 * to. The context is the struct session_input. */
void session_update(void *context, struct monitor_request *request, struct json_object *parameters);

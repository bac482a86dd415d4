#pragma once
#include "runtime/monitor.h"

/* What other katavm processes can ask of the one that runs a container. Their context is the
 * struct session_input. */
extern const struct monitor_method session_methods[];

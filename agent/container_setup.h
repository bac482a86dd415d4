#pragma once
#include "agent/launch.h"
#include "base/error.h"

/* In a container's first process, in its new namespaces: builds its root and makes it /. */
int container_setup(const struct launch *launch, struct error *err);

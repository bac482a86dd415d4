#pragma once
#include "agent/message.h"
#include "base/error.h"

/* /dev of a container: the devices and links that every OCI container has, and those it asks for.
 * root: descriptor of its root. */
int nodes_make(int root, const message_container *container, struct error *err);

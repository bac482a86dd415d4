#pragma once
#include "agent/message.h"
#include "base/error.h"

/* /dev of a container: the devices and links that every OCI container has, and those it asks for.
 * root: descriptor of its root. */
int nodes_make(int root, const message_container *container, struct error *err);

/* One of a disk that came later. What else is there under this name stays, and is an error. */
int nodes_make_disk(int root, const char *path, unsigned major, unsigned minor, struct error *err);
/* Removes it, if it is still that disk's. */
void nodes_remove_disk(int root, const char *path, unsigned major, unsigned minor);

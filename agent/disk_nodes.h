#pragma once
#include "agent/container.h"
#include "agent/disks.h"

/* Disks of a container that come and go while it runs. Messages have been validated. */

/* Looks for the disk, lets the container use it, and makes its node. out_path has PATH_MAX bytes.
 */
int disk_nodes_attach(const struct container *container, const message_attach *message,
		      struct disks_found *out, char *out_path, struct error *err);

/* Takes the node away, then the permission, then the disk from its driver. */
int disk_nodes_detach(const struct container *container, const message_detach *message,
		      struct error *err);

#pragma once
#include "vmm/vmm.h"

/* A copy of *config in *out whose interfaces with vhost have their descriptors, which are *out's
 * own until vhost_close. Says what such an interface cannot have, and what the host lacks. */
int vhost_open(const struct vmm_config *config, struct vmm_config *out, struct error *err);
void vhost_close(struct vmm_config *config);

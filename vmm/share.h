#pragma once
#include "vmm/spawn.h"
#include "vmm/vmm.h"

/* Starts the server of the shares in config; *socket is for the VMM, owned by the caller. */
int share_server_start(const struct vmm_config *config, struct spawned *out, int *socket,
		       struct error *err);

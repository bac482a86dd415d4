#pragma once
#include "runtime/run_config.h"
#include "vmm/vmm.h"

/* Folders and files of the host in a container: -v HOST:PATH[:OPTIONS]. */

/* Opens what the flags name; it stays open as long as this process. */
int shares_make(const struct options *options, struct arena *arena, struct run_config *out,
		struct error *err);

/* What the VM is to be given; descriptors are borrowed. */
void shares_add(const struct run_config *config, struct vmm_config *vm);

/* What the agent mounts at shares[index].path: its tag, and behind a slash the name of a file. */
const char *shares_source(const struct run_config *config, size_t index, struct arena *arena);

#pragma once
#include "runtime/run_config.h"
#include "runtime/volume.h"
#include "vmm/vmm.h"

/* What a container sees of the host's files: folders, single files and volumes of -v and --mount,
 * each served to its VM by a tag. */
struct share {
	const struct mount_flag *flag;
	int fd;                /* O_PATH, or a volume's folder */
	const char *file_name; /* of a single file; NULL: a folder */
	struct volume volume;
	bool fill; /* the agent copies what the image has there into it */
};

struct shares {
	size_t count;
	struct share list[VMM_MAX_SHARES]; /* in the order of the flags that ask for one */
};

/* Does this flag ask for a share? The others need nothing of the host. */
bool share_is_wanted(const struct mount_flag *flag);

/* Opens what the flags name; -v makes a folder that is missing, volumes are made on first use. */
int shares_open(const struct run_config *config, struct arena *arena, struct shares *out,
		struct error *err);
void shares_close(struct shares *shares);

/* The agent has set the container up, and so made the copies that were asked of it. */
void shares_filled(struct shares *shares);

/* What the VM is to be given; descriptors are borrowed. */
void shares_add(const struct shares *shares, struct vmm_config *vm);

/* What the agent mounts for list[index]: its tag, and behind a slash the name of a file. shares may
 * be NULL. */
const char *shares_source(const struct shares *shares, size_t index, struct arena *arena);

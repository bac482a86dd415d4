/* Shared folders in the VMM: the fronts of their devices and the way to their server. */
#include "base/own.h"
#include "base/sys.h"
#include "devices/virtio_fs.h"
#include "vmm/machine_private.h"

#include <fcntl.h>
#include <string.h>

static void server_is_gone(void *context)
{
	machine_end(context, VMM_END_ERROR,
		    "the process that serves the shared folders (katavm-fs) is gone");
}

int machine_open_shares(struct machine *machine, const struct vmm_config *config, struct error *err)
{
	int r;

	machine->shares_fd = (int)SYS(fcntl, config->share_socket, F_DUPFD_CLOEXEC, 0);
	r = machine->shares_fd < 0 ? machine->shares_fd : 0;
	if (r == 0)
		r = virtio_fs_link_create(machine->io, machine->shares_fd, server_is_gone, machine,
					  &machine->shares);
	if (r == 0)
		r = virtio_fs_link_memory(machine->shares, machine->memory.fd, machine->memory.size,
					  &machine->memory.gmem);
	return r < 0 ? error_set(err, r, "shared folders: %s", sys_text(r)) : 0;
}

int machine_grow_shares(struct machine *machine, struct error *err)
{
	const struct memory *memory = &machine->memory;
	int r = virtio_fs_link_more(machine->shares, memory->more_fd, memory->more_limit,
				    (gpa_t){ memory->more_start }, memory->more_size);

	return r < 0 ? error_set(err, r, "shared folders: more memory: %s", sys_text(r)) : 0;
}

int machine_make_share(struct machine *machine, const struct vmm_config *config, unsigned index,
		       struct virtio_device **out, struct error *err)
{
	struct virtio_fs_config share = { .link = machine->shares,
					  .share = index,
					  .request_queues = config->vcpu_count };
	int r;

	/* each queue's kicks cost the start a grace period of the host */
	if (share.request_queues > VIRTIO_MAX_QUEUES - 1)
		share.request_queues = VIRTIO_MAX_QUEUES - 1;
	memcpy(share.tag, config->shares[index].tag, sizeof share.tag);
	r = virtio_fs_create(&share, out);
	return r < 0 ? error_set(err, r, "share %.36s: %s", share.tag, sys_text(r)) : 0;
}

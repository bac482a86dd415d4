/* The memory of a VM that runs: what it gives back. */
#include "base/sys.h"
#include "devices/virtio_balloon.h"
#include "vmm/machine_private.h"

static void on_release(void *context, const struct iovec *range)
{
	const struct machine *machine = context;

	memory_release(&machine->memory, range);
}

/* Late: the agent looks for it when its container has been running for a while. */
int machine_add_balloon(struct machine *machine, struct error *err)
{
	struct virtio_device *device;
	int r = virtio_balloon_create(
	    &(struct virtio_balloon_config){ .release = on_release, .context = machine }, &device);

	if (r < 0)
		return error_set(err, r, "balloon: %s", sys_text(r));
	r = machine_attach(machine, device, true, err);
	if (r == 0)
		machine->balloon = device;
	return r;
}

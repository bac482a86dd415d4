/* The memory of a VM that runs: what it gives back, and what comes and goes. */
#include "base/sys.h"
#include "devices/virtio_balloon.h"
#include "devices/virtio_mem.h"
#include "devices/virtio_net.h"
#include "vmm/machine_private.h"

static void on_release(void *context, const struct iovec *range)
{
	const struct machine *machine = context;

	memory_release(&machine->memory, range);
}

static int add_balloon(struct machine *machine, struct error *err)
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

static int add_mem(struct machine *machine, struct error *err)
{
	const struct memory *memory = &machine->memory;
	struct virtio_device *device;
	int r = virtio_mem_create(&(struct virtio_mem_setup){ .start = { memory->more_start },
							      .size = memory->more_limit,
							      .release = on_release,
							      .context = machine },
				  &device);

	if (r < 0)
		return error_set(err, r, "memory device: %s", sys_text(r));
	r = machine_attach(machine, device, true, err);
	if (r == 0)
		machine->mem = device;
	return r;
}

/* Late: the agent looks for them when its container has been running for a while. */
int machine_add_memory_devices(struct machine *machine, uint64_t memory_max_mib, struct error *err)
{
	struct memory *memory = &machine->memory;
	uint64_t limit = memory_max_mib << 20;
	int r = memory->huge_pages ? 0 : add_balloon(machine, err);

	if (limit > memory->size)
		memory_allow_more(memory, limit - memory->size);
	if (r == 0 && memory->more_limit > 0)
		r = add_mem(machine, err);
	return r;
}

static uint64_t round_up(uint64_t value, uint64_t step)
{
	return (value + step - 1) / step * step;
}

/* Memory beyond what the VM began with. */
static int set_more(struct machine *machine, uint64_t size, struct error *err)
{
	struct memory *memory = &machine->memory;
	int r;

	if (size > memory->more_limit)
		return error_set(err, -ENOSPC, "the VM can have %llu MiB of memory at most%s",
				 (unsigned long long)(memory->size + memory->more_limit) >> 20,
				 memory->huge_pages ? ": it is of huge pages" : "");
	if (!machine->mem)
		return 0;
	r = memory_grow(memory, machine->vm_fd, round_up(size, MEMORY_STEP), err);
	if (r == 0 && machine->shares && memory->more_size > 0)
		r = machine_grow_shares(machine, err); /* before the guest has any of it */
	for (unsigned i = 0; r == 0 && i < machine->vhost_net_count; i++)
		virtio_net_memory_changed(machine->vhost_nets[i]);
	if (r == 0)
		virtio_mem_request(machine->mem, memory->more_size,
				   round_up(size, VIRTIO_MEM_BLOCK));
	return r;
}

int machine_set_memory(struct machine *machine, uint64_t memory_mib, struct error *err)
{
	uint64_t size = memory_mib << 20, began = machine->memory.size;
	int r = set_more(machine, size > began ? size - began : 0, err);

	if (r == 0 && machine->balloon)
		virtio_balloon_set_target(
		    machine->balloon,
		    (uint32_t)(size < began ? (began - size) / VIRTIO_BALLOON_PAGE : 0));
	return r;
}

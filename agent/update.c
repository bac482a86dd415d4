/*
 * More memory comes from the host into the guest (virtio-mem) before the container may use it, so
 * the new limit waits for it. Less memory: the container's own caches make room first, and the
 * host takes the rest when the limit holds.
 */
#include "agent/update.h"

#include "agent/cgroup.h"
#include "agent/container.h"
#include "agent/devices.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include <stdlib.h>
#include <sys/sysinfo.h>

enum { LOOK_EVERY_MS = 100, LOOKS = 300, MIB_SHIFT = 20 };

struct update {
	struct timer timer;
	struct agent *agent;
	struct ttrpc_call *call;
	const message_update *message;
	unsigned looks;
};

static uint64_t guest_memory(void)
{
	struct sysinfo info;

	return SYS(sysinfo, &info) < 0 ? 0 : (uint64_t)info.totalram * info.mem_unit;
}

static void apply(struct update *update, const struct container *container)
{
	const message_resources *resources = update->message->resources;
	Katavm__Agent__V1__Empty empty;
	struct error err = { 0 };
	uint64_t used = 0, limit = (uint64_t)resources->memory_max;

	if (resources->memory_max > 0 && cgroup_memory(container->cgroup, &used) == 0 &&
	    used > limit) {
		cgroup_reclaim(container->cgroup, used - limit);
		(void)cgroup_memory(container->cgroup, &used);
	}
	if (resources->memory_max > 0 && used > limit) {
		ttrpc_refuse(update->call, TTRPC_FAILED_PRECONDITION,
			     "the container uses %llu MiB of memory, more than %llu",
			     (unsigned long long)used >> MIB_SHIFT,
			     (unsigned long long)limit >> MIB_SHIFT);
	} else if (cgroup_update(container->cgroup, resources, &err) < 0) {
		ttrpc_refuse(update->call, TTRPC_FAILED_PRECONDITION, "%s", err.text);
	} else {
		katavm__agent__v1__empty__init(&empty);
		ttrpc_answer(update->call, &empty.base);
	}
}

/* True: it was answered. */
static bool try(struct update *update)
{
	const message_update *message = update->message;
	const struct container *container = container_find(update->agent, message->container_id);
	uint64_t memory = guest_memory();

	if (!container || container->cgroup < 0) {
		ttrpc_refuse(update->call, TTRPC_NOT_FOUND, "container %.128s does not exist",
			     message->container_id);
		return true;
	}
	if (message->resources->memory_max <= 0 ||
	    memory >= (uint64_t)message->resources->memory_max) {
		apply(update, container);
		return true;
	}
	if (++update->looks < LOOKS)
		return false;
	ttrpc_refuse(update->call, TTRPC_RESOURCE_EXHAUSTED,
		     "the guest has taken up only %llu MiB of memory",
		     (unsigned long long)memory >> MIB_SHIFT);
	return true;
}

static void on_time(struct timer *timer)
{
	struct update *update = container_of(timer, struct update, timer);

	if (try(update))
		free(update);
	else
		loop_set_timer(&update->agent->loop, timer, LOOK_EVERY_MS);
}

void update_container(struct agent *agent, const message_update *message, struct ttrpc_call *call)
{
	struct update *update = calloc(1, sizeof *update);

	if (!update) {
		ttrpc_refuse(call, TTRPC_RESOURCE_EXHAUSTED, "no memory for an update");
		return;
	}
	update->timer.expired = on_time;
	update->agent = agent;
	update->call = call;
	update->message = message;
	(void)devices_look();
	on_time(&update->timer);
}

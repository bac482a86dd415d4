/*
 * The end of a VM takes three steps, because a vCPU thread may be waiting for the device thread (a
 * device's reset), which therefore must not wait for it:
 *   a vCPU records the end and posts end_message;
 *   the device thread asks all vCPUs to stop and goes on serving;
 *   the last of them posts stopped_message, and the device thread reports the end.
 *
 * A guest that is to be ended and does not end itself may still have something to say, and a slow
 * reader. What it has sent is held until that reader takes it, so the guest is not waited for but
 * while nothing is held.
 */
#include "base/container_of.h"
#include "base/sys.h"
#include "devices/virtio_vsock.h"
#include "vmm/machine_private.h"

#include <stdio.h>

/* So long a guest may be waited for in all. */
enum { SILENCE_TICKS = 20 };
#define SILENCE_TICK_NS UINT64_C(100000000)

static void ask_stop(struct machine *machine)
{
	for (unsigned i = 0; i < machine->vcpu_count; i++)
		vcpu_ask_stop(&machine->vcpus[i]);
}

static void join_all(struct machine *machine)
{
	for (unsigned i = 0; i < machine->vcpu_count; i++)
		vcpu_join(&machine->vcpus[i]);
}

void machine_stop(struct machine *machine)
{
	(void)io_cancel_wait(&machine->silence);
	ask_stop(machine);
	join_all(machine);
}

static void on_end(struct io_message *message)
{
	ask_stop(container_of(message, struct machine, end_message));
}

static void on_stopped(struct io_message *message)
{
	struct machine *machine = container_of(message, struct machine, stopped_message);

	join_all(machine);
	virtio_vsock_end(machine->vsock); /* goes on in on_streams_ended */
}

void machine_end(struct machine *machine, enum vmm_end end, const char *text)
{
	if (__atomic_exchange_n(&machine->has_ended, true, __ATOMIC_ACQ_REL))
		return; /* another vCPU was first */
	machine->end = end;
	(void)snprintf(machine->end_text, sizeof machine->end_text, "%s", text);
	machine->end_message.run = on_end;
	(void)io_post(machine->io, &machine->end_message);
}

void machine_vcpu_stopped(struct machine *machine)
{
	if (__atomic_sub_fetch(&machine->running, 1, __ATOMIC_ACQ_REL) > 0 || !machine->has_ended)
		return;
	machine->stopped_message.run = on_stopped;
	(void)io_post(machine->io, &machine->stopped_message);
}

static void look_later(struct machine *machine);

static void on_tick(struct io_op *op, int result)
{
	struct machine *machine = container_of(op, struct machine, silence);

	if (result < 0)
		return;
	if (!virtio_vsock_is_writing(machine->vsock))
		machine->silent_ticks++;
	if (machine->silent_ticks >= SILENCE_TICKS)
		machine_end(machine, VMM_END_ASKED, "it was asked to end");
	else
		look_later(machine);
}

static void look_later(struct machine *machine)
{
	io_timer(machine->io, &machine->silence, SILENCE_TICK_NS, on_tick);
}

void machine_end_silent(struct machine *machine)
{
	if (!io_is_busy(&machine->silence) &&
	    !__atomic_load_n(&machine->has_ended, __ATOMIC_ACQUIRE))
		look_later(machine);
}

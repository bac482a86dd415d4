#include "vmm/exit.h"
#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/virtio_mmio.h"
#include "vmm/machine_private.h"

#include <stdio.h>
#include <string.h>

/* The slot whose page `address` is in, or NULL. */
static struct device_slot *find_slot(struct machine *machine, uint64_t address, uint64_t *offset)
{
	struct arch_mmio first;
	uint64_t index;

	if (arch_mmio_slot(0, &first) < 0 || address < first.start)
		return NULL;
	index = (address - first.start) / first.size; /* windows lie side by side */
	if (index >= machine->slot_count)
		return NULL;
	*offset = (address - first.start) % first.size;
	return &machine->slots[index];
}

static void access_slot(struct device_slot *slot, uint64_t offset, struct kvm_run *run)
{
	size_t size = run->mmio.len;

	if (slot->is_spare)
		(void)pthread_mutex_lock(&slot->lock);
	if (run->mmio.is_write && slot->mmio)
		virtio_mmio_write(slot->mmio, offset, run->mmio.data, size);
	else if (!run->mmio.is_write && slot->mmio)
		virtio_mmio_read(slot->mmio, offset, run->mmio.data, size);
	else if (!run->mmio.is_write)
		virtio_mmio_read_empty(offset, run->mmio.data, size);
	if (slot->is_spare)
		(void)pthread_mutex_unlock(&slot->lock);
}

/* Where no device is, reads are ones as on an empty bus and writes are lost. */
static void handle_mmio(struct machine *machine, struct kvm_run *run)
{
	uint64_t offset;
	struct device_slot *slot = find_slot(machine, run->mmio.phys_addr, &offset);

	if (run->mmio.len > sizeof run->mmio.data)
		return;
	if (slot)
		access_slot(slot, offset, run);
	else if (!run->mmio.is_write)
		memset(run->mmio.data, 0xff, run->mmio.len);
}

static const char *internal_error_text(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "an instruction it cannot emulate";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "two exceptions at once";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "an event it cannot deliver";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "an exit it does not expect";
	default:
		return "a state it cannot handle";
	}
}

static bool handle_system_event(struct machine *machine, const struct kvm_run *run)
{
	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_end(machine, VMM_END_SHUTDOWN, "the guest powered off");
		return false;
	case KVM_SYSTEM_EVENT_RESET:
		machine_end(machine, VMM_END_REBOOT, "the guest rebooted");
		return false;
	case KVM_SYSTEM_EVENT_CRASH:
		machine_end(machine, VMM_END_PANIC, "the guest kernel panicked");
		return false;
	default:
		return true;
	}
}

static void end_by_panic(struct machine *machine)
{
	char text[sizeof machine->end_text], escaped[160];
	const struct arch_platform *platform = &machine->platform;

	(void)log_escape(platform->panic_text, platform->panic_size, escaped, sizeof escaped);
	(void)snprintf(text, sizeof text, "the guest kernel panicked%s%s", escaped[0] ? ": " : "",
		       escaped);
	machine_end(machine, VMM_END_PANIC, text);
}

static bool handle_platform(struct vcpu *vcpu, struct machine *machine)
{
	own_lock *held = own_locked(&machine->platform_lock);
	char text[sizeof machine->end_text];

	(void)held;
	switch (arch_handle_exit(&machine->platform, vcpu->run)) {
	case ARCH_RESUME:
		return true;
	case ARCH_SHUTDOWN:
		machine_end(machine, VMM_END_SHUTDOWN, "the guest powered off");
		return false;
	case ARCH_REBOOT:
		machine_end(machine, VMM_END_REBOOT, "the guest rebooted");
		return false;
	case ARCH_PANIC:
		end_by_panic(machine);
		return false;
	case ARCH_TRIPLE_FAULT:
		(void)snprintf(text, sizeof text, "vCPU %u: triple fault", vcpu->index);
		machine_end(machine, VMM_END_TRIPLE_FAULT, text);
		return false;
	case ARCH_UNKNOWN:
		break;
	}
	(void)snprintf(text, sizeof text, "vCPU %u: KVM stopped with an exit nobody asked for (%u)",
		       vcpu->index, vcpu->run->exit_reason);
	machine_end(machine, VMM_END_ERROR, text);
	return false;
}

bool exit_handle(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->context;
	const struct kvm_run *run = vcpu->run;
	char text[sizeof machine->end_text];

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		handle_mmio(machine, vcpu->run);
		return true;
	case KVM_EXIT_INTR:
		return true;
	case KVM_EXIT_SYSTEM_EVENT:
		return handle_system_event(machine, run);
	case KVM_EXIT_FAIL_ENTRY:
		(void)snprintf(text, sizeof text,
			       "vCPU %u: the CPU refused to enter the guest (reason 0x%llx)",
			       vcpu->index,
			       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		machine_end(machine, VMM_END_ERROR, text);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		(void)snprintf(text, sizeof text, "vCPU %u: KVM met %s (suberror %u)", vcpu->index,
			       internal_error_text(run->internal.suberror), run->internal.suberror);
		machine_end(machine, VMM_END_ERROR, text);
		return false;
	default:
		return handle_platform(vcpu, machine);
	}
}

void exit_failed(struct vcpu *vcpu, int result)
{
	struct machine *machine = vcpu->context;
	char text[sizeof machine->end_text];

	(void)snprintf(text, sizeof text, "vCPU %u: run: %s", vcpu->index, sys_text(result));
	machine_end(machine, VMM_END_ERROR, text);
}

void exit_stopped(struct vcpu *vcpu)
{
	machine_vcpu_stopped(vcpu->context);
}

/*
 * How a VM is put together, in the order that matters: memory slots, in-kernel devices, vCPUs, then
 * the devices of the guest, kernel and boot tables. This is the one file that names the devices.
 */
#include "vmm/machine.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/io.h"
#include "devices/virtio_console.h"
#include "devices/virtio_fs.h"
#include "devices/virtio_mmio.h"
#include "devices/virtio_rng.h"
#include "devices/virtio_vsock.h"
#include "vmm/exit.h"
#include "vmm/kernel.h"
#include "vmm/kvm.h"
#include "vmm/machine_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int machine_connect(const struct machine *machine, unsigned slot, bool kicks, struct error *err)
{
	const struct virtio_mmio *mmio = machine->slots[slot].mmio;
	struct arch_mmio place;
	int r = arch_mmio_slot(slot, &place);

	if (r < 0)
		return error_set(err, r, "VM: no place for a device: %s", sys_text(r));
	r = kvm_add_irqfd(machine->vm_fd, machine->slots[slot].irq_fd, place.irq, err);
	for (unsigned q = 0; r == 0 && kicks && q < virtio_mmio_queue_count(mmio); q++)
		r = kvm_add_ioeventfd(machine->vm_fd, virtio_mmio_kick_fd(mmio, q),
				      (gpa_t){ place.start + VIRTIO_MMIO_NOTIFY }, q, err);
	return r;
}

int machine_attach(struct machine *machine, struct virtio_device *device, bool late,
		   struct error *err)
{
	struct device_slot *slot = &machine->slots[machine->slot_count];
	const char *name = device->type->name;
	struct arch_mmio place;
	int r = arch_mmio_slot(machine->slot_count, &place);

	if (r == 0) {
		slot->irq_fd = sys_eventfd();
		r = slot->irq_fd < 0 ? slot->irq_fd : 0;
	}
	if (r == 0)
		r = virtio_mmio_create(&(struct virtio_mmio_config){ .device = device,
								     .mem = &machine->memory.gmem,
								     .io = machine->io,
								     .irq_fd = slot->irq_fd,
								     .late = late },
				       &slot->mmio);
	if (r < 0) {
		virtio_device_destroy(device);
		return error_set(err, r, "%s: create: %s", name, sys_text(r));
	}
	return machine_connect(machine, machine->slot_count++, !late, err);
}

static int attach(struct machine *machine, struct virtio_device *device, struct error *err)
{
	return machine_attach(machine, device, false, err);
}

static int add_disk(struct machine *machine, const struct vmm_disk *disk, struct error *err)
{
	struct virtio_device *device;
	int r = machine_make_disk(disk, false, &device, err);

	return r < 0 ? r : attach(machine, device, err);
}

static int add_console(struct machine *machine, struct error *err)
{
	struct virtio_device *device;
	int r = virtio_console_create(
	    &(struct virtio_console_config){ .output_fd = machine->console_fd, .input_fd = -1 },
	    &device);

	if (r < 0)
		return error_set(err, r, "console: %s", sys_text(r));
	return attach(machine, device, err);
}

static void on_connected(void *context, uint32_t port)
{
	const struct machine *machine = context;

	machine->callbacks.connected(machine->callbacks.context, port);
}

static void on_closed(void *context, uint32_t port, int write_error)
{
	const struct machine *machine = context;

	machine->callbacks.closed(machine->callbacks.context, port, write_error);
}

/* The guest has stopped and everything it ever sent is written. */
static void on_streams_ended(void *context)
{
	const struct machine *machine = context;

	machine->callbacks.ended(machine->callbacks.context, machine->end, machine->end_text);
}

static int add_vsock(struct machine *machine, struct error *err)
{
	struct virtio_device *device;
	int r = virtio_vsock_create(&(struct virtio_vsock_config){ .guest_cid = VMM_GUEST_CID,
								   .connected = on_connected,
								   .closed = on_closed,
								   .ended = on_streams_ended,
								   .context = machine },
				    &device);

	if (r < 0)
		return error_set(err, r, "vsock: %s", sys_text(r));
	r = attach(machine, device, err);
	if (r == 0)
		machine->vsock = device;
	return r;
}

static int add_rng(struct machine *machine, struct error *err)
{
	/* the kernel takes some hundred bytes at boot; more than this only a program does */
	const struct rate_limit_config limit = { .bytes_rate = 1 << 20, .bytes_burst = 64 << 10 };
	struct virtio_device *device;
	int r = virtio_rng_create(&limit, &device);

	if (r < 0)
		return error_set(err, r, "rng: %s", sys_text(r));
	return attach(machine, device, err);
}

static int add_shares(struct machine *machine, const struct vmm_config *config, struct error *err)
{
	int r = config->share_count > 0 ? machine_open_shares(machine, config, err) : 0;

	for (unsigned i = 0; r == 0 && i < config->share_count; i++) {
		struct virtio_device *device;

		r = machine_make_share(machine, config, i, &device, err);
		if (r == 0)
			r = attach(machine, device, err);
	}
	return r;
}

/* The console first, so that it shows what the others do. The late ones last: interrupt lines are
 * shared when there are many devices. */
static int add_devices(struct machine *machine, const struct vmm_config *config, struct error *err)
{
	int r = machine->console_fd >= 0 ? add_console(machine, err) : 0;

	if (r == 0)
		r = add_vsock(machine, err);
	if (r == 0)
		r = add_rng(machine, err);
	for (size_t i = 0; r == 0 && i < config->disk_count; i++)
		r = add_disk(machine, &config->disks[i], err);
	for (size_t i = 0; r == 0 && i < config->net_count; i++)
		r = machine_add_net(machine, &config->nets[i], err);
	if (r == 0)
		r = add_shares(machine, config, err);
	if (r == 0)
		r = machine_add_memory_devices(machine, config->memory_max_mib, err);
	if (r == 0)
		r = machine_add_spares(machine, config->spare_slots, err);
	return r;
}

static void serial_output(void *context, const uint8_t *bytes, size_t size)
{
	const struct machine *machine = context;

	(void)sys_write_all(machine->console_fd, bytes, size);
}

static int borrow_files(struct machine *machine, const struct vmm_config *config, struct error *err)
{
	machine->kernel_fd = (int)SYS(fcntl, config->kernel_fd, F_DUPFD_CLOEXEC, 0);
	if (machine->kernel_fd < 0)
		return error_set(err, machine->kernel_fd, "kernel: %s",
				 sys_text(machine->kernel_fd));
	if (config->console_fd < 0)
		return 0;
	machine->console_fd = (int)SYS(fcntl, config->console_fd, F_DUPFD_CLOEXEC, 0);
	if (machine->console_fd < 0)
		return error_set(err, machine->console_fd, "console: %s",
				 sys_text(machine->console_fd));
	machine->platform.output = serial_output;
	machine->platform.context = machine;
	return 0;
}

/*
 * Creating a VM waits for two grace periods of the host (KVM moves a kernel thread into our
 * cgroup): 8 to 16 of the emulated host's milliseconds, in which a thread fills the memory. The
 * waiting is not the new thread's part, because where CPUs are few that would be run, and begin to
 * wait, last.
 */
struct loading {
	pthread_t thread;
	struct machine *machine;
	const struct vmm_config *config;
	struct kernel_place place;
	struct error err;
	int result;
};

static void *load(void *argument)
{
	struct loading *loading = argument;
	const struct vmm_config *config = loading->config;
	struct memory *memory = &loading->machine->memory;
	enum memory_kind kind = config->huge_pages                                 ? MEMORY_HUGE
				: config->shared_memory || config->share_count > 0 ? MEMORY_SHARED
										   : MEMORY_PRIVATE;
	int r = memory_init(memory, config->memory_mib << 20, kind, &loading->err);

	if (r == 0)
		r = kernel_load(memory, config->kernel_fd, config->initramfs_fd, &loading->place,
				&loading->err);
	loading->result = r;
	return NULL;
}

/* A VM, and RAM with the kernel in it. */
static int create_vm(struct machine *machine, int kvm_fd, const struct vmm_config *config,
		     struct kernel_place *place, struct error *err)
{
	struct loading loading = { .machine = machine, .config = config };
	int r = vcpu_thread_create(&loading.thread, load, &loading), vm;

	if (r < 0)
		return error_set(err, r, "VM: start a thread: %s", sys_text(r));
	vm = kvm_create_vm(kvm_fd, err);
	(void)pthread_join(loading.thread, NULL);
	machine->vm_fd = vm < 0 ? -EBADF : vm;
	if (loading.result < 0)
		return error_set(err, loading.result, "%s", loading.err.text);
	if (vm < 0)
		return vm;
	*place = loading.place;
	r = memory_register(&machine->memory, machine->vm_fd, err);
	return r < 0 ? r : arch_vm_init(machine->vm_fd, err);
}

static int create_vcpus(struct machine *machine, int kvm_fd, const struct vmm_config *config,
			uint64_t entry, struct error *err)
{
	int run_size = kvm_run_size(kvm_fd, err), r;
	struct arch_cpus *cpus;

	if (run_size < 0)
		return run_size;
	r = arch_cpus_create(kvm_fd, config->vcpu_count, &cpus, err);
	for (unsigned i = 0; r == 0 && i < config->vcpu_count; i++) {
		struct vcpu *vcpu = &machine->vcpus[i];

		r = vcpu_init(vcpu, machine->vm_fd, i, run_size, err);
		if (r < 0)
			break;
		machine->vcpu_count++;
		vcpu->handle = exit_handle;
		vcpu->failed = exit_failed;
		vcpu->stopped = exit_stopped;
		vcpu->context = machine;
		r = arch_vcpu_init(cpus, vcpu->fd, i, entry, err);
	}
	if (r == 0 || machine->vcpu_count > 0)
		arch_cpus_destroy(cpus);
	return r;
}

/* Linux sizes its tables for a server and clears them at boot, every page of which is one the host
 * gives. These are an eighth and less: a name for each 64 KiB of memory, an inode for each 128, a
 * TCP connection for each 512 (the kernel rounds up to a power of two). */
static void write_parameters(const struct machine *machine, const struct vmm_config *config,
			     char *out, size_t size)
{
	uint64_t memory = machine->memory.size;
	const char *console = machine->console_fd >= 0 ? "console=hvc0" : "quiet"; /* exits cost */

	(void)snprintf(out, size,
		       "%s dhash_entries=%llu ihash_entries=%llu thash_entries=%llu "
		       "tcpmhash_entries=%llu %s",
		       console, (unsigned long long)memory >> 16, (unsigned long long)memory >> 17,
		       (unsigned long long)memory >> 19, (unsigned long long)memory >> 19,
		       config->cmdline);
}

static int build(struct machine *machine, const struct vmm_config *config, int kvm_fd,
		 struct error *err)
{
	struct kernel_place place = { 0 };
	char parameters[VMM_CMDLINE_SIZE + 256];
	int r = borrow_files(machine, config, err);

	if (r == 0)
		r = create_vm(machine, kvm_fd, config, &place, err);
	if (r == 0)
		r = create_vcpus(machine, kvm_fd, config, place.entry, err);
	if (r == 0)
		r = add_devices(machine, config, err);
	if (r < 0)
		return r;
	write_parameters(machine, config, parameters, sizeof parameters);
	return arch_write_boot_tables(&machine->memory.gmem,
				      &(struct arch_boot){
					  .ram = machine->memory.ranges,
					  .ram_count = machine->memory.range_count,
					  .initramfs = place.initramfs,
					  .parameters = parameters,
					  .device_count = machine->slot_count,
					  .vcpu_count = config->vcpu_count,
				      },
				      err);
}

int machine_create(const struct vmm_config *config, int kvm_fd, struct io *io,
		   const struct machine_callbacks *callbacks, struct machine **out,
		   struct error *err)
{
	struct machine *machine = calloc(1, sizeof *machine);
	int r;

	if (!machine)
		return error_set(err, -ENOMEM, "VM: no memory");
	machine->io = io;
	machine->callbacks = *callbacks;
	machine->vm_fd = machine->kernel_fd = machine->console_fd = machine->shares_fd = -EBADF;
	(void)pthread_mutex_init(&machine->platform_lock, NULL);
	r = build(machine, config, kvm_fd, err);
	if (r < 0) {
		machine_destroy(machine);
		return r;
	}
	*out = machine;
	return 0;
}

int machine_start(struct machine *machine, struct error *err)
{
	int r = vcpu_prepare_process(err);

	machine->running = machine->vcpu_count;
	machine->entered_ns = sys_monotonic_ns();
	for (unsigned i = 0; r == 0 && i < machine->vcpu_count; i++)
		r = vcpu_start(&machine->vcpus[i], err);
	return r;
}

void machine_destroy(struct machine *machine)
{
	if (!machine)
		return;
	machine_stop(machine);
	for (unsigned i = 0; i < machine->slot_count; i++) {
		virtio_mmio_destroy(machine->slots[i].mmio);
		close_fd(&machine->slots[i].irq_fd);
	}
	virtio_fs_link_destroy(machine->shares);
	close_fd(&machine->shares_fd);
	for (unsigned i = 0; i < machine->vcpu_count; i++)
		vcpu_finish(&machine->vcpus[i]);
	close_fd(&machine->vm_fd);
	memory_finish(&machine->memory);
	close_fd(&machine->kernel_fd);
	close_fd(&machine->console_fd);
	(void)pthread_mutex_destroy(&machine->platform_lock);
	free(machine);
}

int machine_bind(struct machine *machine, uint32_t port, int fd, enum vmm_stream stream)
{
	static const enum vsock_mode modes[] = { [VMM_STREAM_READ] = VSOCK_READ,
						 [VMM_STREAM_WRITE] = VSOCK_WRITE,
						 [VMM_STREAM_BOTH] = VSOCK_BOTH };

	return virtio_vsock_bind(machine->vsock, port, fd, modes[stream]);
}

int machine_listen(struct machine *machine, uint32_t port, int listen_fd)
{
	return virtio_vsock_listen(machine->vsock, listen_fd, port);
}

uint64_t machine_exits(const struct machine *machine)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < machine->vcpu_count; i++)
		sum += vcpu_exits(&machine->vcpus[i]);
	return sum;
}

uint64_t machine_entered_ns(const struct machine *machine)
{
	return machine->entered_ns;
}

uint64_t machine_memory_kib(const struct machine *machine)
{
	return memory_allocated_kib(&machine->memory);
}

int machine_dump_log(const struct machine *machine, int fd, struct error *err)
{
	return kernel_dump_log(&machine->memory, machine->kernel_fd, fd, err);
}

#pragma once
#include "arch/arch.h"
#include "devices/io.h"
#include "vmm/machine.h"
#include "vmm/memory.h"
#include "vmm/vcpu.h"

/* For machine.c and exit.c. */
struct virtio_mmio;
struct virtio_device;
struct virtio_fs_link;

struct device_slot {
	struct virtio_mmio *mmio; /* spare: under the lock, NULL while it is empty */
	int irq_fd;
	bool is_spare;        /* devices come and go while vCPUs run */
	pthread_mutex_t lock; /* spare: held by a vCPU during its access */
};

struct machine {
	struct io *io; /* borrowed */
	struct machine_callbacks callbacks;
	int vm_fd, kernel_fd, console_fd;
	struct memory memory;
	unsigned vcpu_count;
	struct vcpu vcpus[VMM_MAX_VCPUS];
	unsigned slot_count; /* constant once vCPUs run; the spare ones are the last */
	struct device_slot slots[ARCH_MMIO_SLOTS];
	struct virtio_fs_link *shares; /* or NULL; shares_fd is its socket */
	int shares_fd;
	struct virtio_device *vsock;   /* owned by its slot's transport */
	struct virtio_device *balloon; /* as vsock; NULL with huge pages */
	struct virtio_device *mem;     /* as vsock; NULL when memory cannot grow */
	unsigned vhost_net_count;
	struct virtio_device *vhost_nets[VMM_MAX_NETS]; /* as vsock */
	struct arch_platform platform;                  /* under platform_lock */
	pthread_mutex_t platform_lock;
	uint64_t entered_ns;
	unsigned running; /* atomic: vCPU threads */
	/* Written by the first thread that sets has_ended, read after end_message arrived. */
	bool has_ended;
	enum vmm_end end;
	char end_text[200];
	struct io_message end_message, stopped_message;
	struct io_op silence; /* machine_end_silent: the next look */
	unsigned silent_ticks;
};

/* Gives the shares' server guest memory; then each share's device can be made. */
int machine_open_shares(struct machine *machine, const struct vmm_config *config,
			struct error *err);
/* Gives it what memory has come since. On the device thread; waits for the server. */
int machine_grow_shares(struct machine *machine, struct error *err);
int machine_make_share(struct machine *machine, const struct vmm_config *config, unsigned index,
		       struct virtio_device **out, struct error *err);

/* machine_end.c */

/* All vCPUs, and waits for them. */
void machine_stop(struct machine *machine);
/* Any thread; the first call counts. */
void machine_end(struct machine *machine, enum vmm_end end, const char *text);
/* vCPU threads, last. */
void machine_vcpu_stopped(struct machine *machine);

/* Announces one device to guest and KVM, before the first vCPU runs. One that is late is not seen
 * by the guest's boot (virtio_mmio.h), and its kicks come by exit. Ownership of the device passes
 * in any case. */
int machine_attach(struct machine *machine, struct virtio_device *device, bool late,
		   struct error *err);

/* A new device for a disk; disk->fd is duplicated. may_go: it may be removed while the VM runs. */
int machine_make_disk(const struct vmm_disk *disk, bool may_go, struct virtio_device **out,
		      struct error *err);
/* Joins a slot's device to KVM: its interrupt and, unless kicks shall come by exit, its kicks. */
int machine_connect(const struct machine *machine, unsigned slot, bool kicks, struct error *err);

/* machine_net.c */
int machine_add_net(struct machine *machine, const struct vmm_net *net, struct error *err);

/* machine_plug.c */
int machine_add_spares(struct machine *machine, unsigned count, struct error *err);

/* machine_memory.c */
int machine_add_memory_devices(struct machine *machine, uint64_t memory_max_mib, struct error *err);

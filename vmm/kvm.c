#include "vmm/kvm.h"
#include "base/own.h"
#include "base/sys.h"

#include <sys/ioctl.h>

#include <fcntl.h>
#include <linux/kvm.h>

enum { API_VERSION = 12 }; /* the only one there ever was since Linux 2.6.22 */

static const struct capability {
	long number;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "user memory" },
	{ KVM_CAP_IRQCHIP, "in-kernel interrupt controllers" },
	{ KVM_CAP_IRQFD, "irqfd" },
	{ KVM_CAP_IOEVENTFD, "ioeventfd" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
};

static int check(int kvm_fd, struct error *err)
{
	int version = (int)SYS(ioctl, kvm_fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return error_set(err, version, "/dev/kvm: not KVM: %s", sys_text(version));
	if (version != API_VERSION)
		return error_set(err, -EPROTO, "/dev/kvm: API version %d instead of %d", version,
				 API_VERSION);
	for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
		if (SYS(ioctl, kvm_fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
			return error_set(err, -ENOSYS, "/dev/kvm: this KVM has no %s",
					 needed[i].name);
	return 0;
}

int kvm_open(struct error *err)
{
	own_fd fd = sys_open(AT_FDCWD, "/dev/kvm", O_RDWR, 0);
	int r;

	if (fd < 0)
		return error_set(err, fd, "/dev/kvm: open: %s", sys_text(fd));
	r = check(fd, err);
	return r < 0 ? r : take_fd(&fd);
}

int kvm_create_vm(int kvm_fd, struct error *err)
{
	int fd = (int)SYS_RETRY(ioctl, kvm_fd, KVM_CREATE_VM, 0);

	if (fd < 0)
		return error_set(err, fd, "/dev/kvm: create a VM: %s", sys_text(fd));
	return fd;
}

int kvm_run_size(int kvm_fd, struct error *err)
{
	int size = (int)SYS(ioctl, kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < 0)
		return error_set(err, size, "/dev/kvm: size of the vCPU area: %s", sys_text(size));
	return size;
}

int kvm_add_memory(int vm_fd, unsigned slot, gpa_t start, void *host, uint64_t size,
		   struct error *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = start.value,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};
	int r = sys_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region);

	if (r < 0)
		return error_set(err, r, "VM: add %llu MiB of memory: %s",
				 (unsigned long long)size >> 20, sys_text(r));
	return 0;
}

int kvm_create_vcpu(int vm_fd, unsigned index, struct error *err)
{
	int fd = (int)SYS(ioctl, vm_fd, KVM_CREATE_VCPU, (unsigned long)index);

	if (fd < 0)
		return error_set(err, fd, "VM: create vCPU %u: %s", index, sys_text(fd));
	return fd;
}

int kvm_add_irqfd(int vm_fd, int event_fd, unsigned irq, struct error *err)
{
	struct kvm_irqfd request = { .fd = (uint32_t)event_fd, .gsi = irq };
	int r = sys_ioctl(vm_fd, KVM_IRQFD, &request);

	if (r < 0)
		return error_set(err, r, "VM: join an event to interrupt %u: %s", irq, sys_text(r));
	return 0;
}

int kvm_add_ioeventfd(int vm_fd, int event_fd, gpa_t at, uint32_t value, struct error *err)
{
	struct kvm_ioeventfd request = {
		.datamatch = value,
		.addr = at.value,
		.len = sizeof value,
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};
	int r = sys_ioctl(vm_fd, KVM_IOEVENTFD, &request);

	if (r < 0)
		return error_set(err, r, "VM: join address 0x%llx to an event: %s",
				 (unsigned long long)at.value, sys_text(r));
	return 0;
}

void kvm_remove_irqfd(int vm_fd, int event_fd, unsigned irq)
{
	struct kvm_irqfd request = { .fd = (uint32_t)event_fd,
				     .gsi = irq,
				     .flags = KVM_IRQFD_FLAG_DEASSIGN };

	(void)sys_ioctl(vm_fd, KVM_IRQFD, &request);
}

void kvm_remove_ioeventfd(int vm_fd, int event_fd, gpa_t at, uint32_t value)
{
	struct kvm_ioeventfd request = {
		.datamatch = value,
		.addr = at.value,
		.len = sizeof value,
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_DEASSIGN,
	};

	(void)sys_ioctl(vm_fd, KVM_IOEVENTFD, &request);
}

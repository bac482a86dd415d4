#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "base/sys.h"

#include <sys/ioctl.h>

/* Intel CPUs without unrestricted guest mode need four pages of the address space to run real mode
 * in, which a woken vCPU starts in. */
int arch_vm_init(int vm_fd, struct error *err)
{
	uint64_t identity_map = LAYOUT_IDENTITY_MAP;
	int r;

	r = (int)SYS(ioctl, vm_fd, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_TSS);
	if (r < 0)
		return error_set(err, r, "VM: set the address of the task state: %s", sys_text(r));
	r = sys_ioctl(vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	if (r < 0)
		return error_set(err, r, "VM: set the address of the identity map: %s",
				 sys_text(r));
	r = (int)SYS(ioctl, vm_fd, KVM_CREATE_IRQCHIP, 0);
	if (r < 0)
		return error_set(err, r, "VM: create the interrupt controllers: %s", sys_text(r));
	return 0;
}

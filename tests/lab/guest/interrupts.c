/*
 * interrupts: gives a guest in real mode COUNT interrupts, and prints how many the guest has taken
 * and how many of those came while it had interrupts disabled, which no processor does. In a guest
 * of one handler that takes its time, so that whatever the host's emulator does in between happens
 * there.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT   1000
#define PAGE    4096
#define HANDLER 0x80 /* offset in the page of code */
#define VECTOR  0x20
#define LINE    1

/* The guest's memory: a page with the table of vectors, its counters in 32 bits at 0x500 and its
 * stack, and a page of code. */
static const uint8_t code[] = {
	0xfb,       /* sti */
	0x90,       /* nop: none comes directly behind it */
	0xe6, 0x10, /* again: out 0x10, al: ask for an interrupt, which comes here */
	0xeb, 0xfc, /* jmp again */
};
static const uint8_t handler[] = {
	0x55,                               /* push bp */
	0x89, 0xe5,                         /* mov bp, sp */
	0x66, 0x51,                         /* push ecx */
	0x66, 0xff, 0x06, 0x00, 0x05,       /* inc dword [0x500]: taken */
	0xf7, 0x46, 0x06, 0x00, 0x02,       /* test word [bp + 6], 0x200: the flags of before */
	0x75, 0x05,                         /* jnz enabled */
	0x66, 0xff, 0x06, 0x04, 0x05,       /* inc dword [0x504]: while disabled */
	0x66, 0xb9, 0x40, 0x0d, 0x03, 0x00, /* enabled: mov ecx, 200000 */
	0x66, 0x49,                         /* wait: dec ecx */
	0x75, 0xfc,                         /* jnz wait */
	0x66, 0x59,                         /* pop ecx */
	0x5d,                               /* pop bp */
	0xcf,                               /* iret */
};

static int call(int fd, unsigned long request, void *argument, const char *name)
{
	int result = ioctl(fd, request, argument);

	if (result < 0) {
		perror(name);
		exit(125);
	}
	return result;
}

int main(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct kvm_irq_level up = { .irq = LINE, .level = 1 }, down = { .irq = LINE };
	struct kvm_regs regs = { .rip = PAGE, .rsp = PAGE, .rflags = 2 };
	struct kvm_userspace_memory_region region = { .memory_size = 2UL * PAGE };
	struct kvm_sregs sregs;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm, cpu, size;
	struct kvm_run *run;
	uint8_t *memory;
	uint32_t counts[2];

	if (kvm < 0) {
		perror("/dev/kvm");
		return 125;
	}
	vm = call(kvm, KVM_CREATE_VM, 0, "KVM_CREATE_VM");
	call(vm, KVM_CREATE_IRQCHIP, 0, "KVM_CREATE_IRQCHIP");
	call(vm, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
	chip.chip.pic.irq_base = VECTOR;
	chip.chip.pic.imr = 0;
	chip.chip.pic.auto_eoi = 1;
	call(vm, KVM_SET_IRQCHIP, &chip, "KVM_SET_IRQCHIP");
	memory = mmap(NULL, 2UL * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size = call(kvm, KVM_GET_VCPU_MMAP_SIZE, 0, "KVM_GET_VCPU_MMAP_SIZE");
	cpu = call(vm, KVM_CREATE_VCPU, 0, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (memory == MAP_FAILED || run == MAP_FAILED) {
		perror("mmap");
		return 125;
	}
	memcpy(memory + PAGE, code, sizeof(code));
	memcpy(memory + PAGE + HANDLER, handler, sizeof(handler));
	memcpy(memory + 4 * (VECTOR + LINE), &(uint16_t[]){ PAGE + HANDLER, 0 }, 4);
	region.userspace_addr = (uintptr_t)memory;
	call(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
	call(cpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	call(cpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
	call(cpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");

	for (int asked = 0; asked < COUNT;) {
		call(cpu, KVM_RUN, 0, "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_IO) {
			call(vm, KVM_IRQ_LINE, &up, "KVM_IRQ_LINE");
			call(vm, KVM_IRQ_LINE, &down, "KVM_IRQ_LINE");
			asked++;
		} else if (run->exit_reason != KVM_EXIT_INTR) {
			fprintf(stderr, "exit %u\n", run->exit_reason);
			return 125;
		}
	}
	call(cpu, KVM_RUN, 0, "KVM_RUN"); /* the last one's handler */
	memcpy(counts, memory + 0x500, sizeof(counts));
	printf("taken %u, while disabled %u\n", counts[0], counts[1]);
	return 0;
}

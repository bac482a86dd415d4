/* The smallest init: it powers the guest off. */

#define SYS_REBOOT 169

void _start(void)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_REBOOT), "D"(0xfee1deadL), "S"(672274793L), "d"(0x4321fedcL)
			 : "rcx", "r11", "memory");
	for (;;)
		;
}

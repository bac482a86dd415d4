/* The init that a peer's virtual machine boots to: one line on the virtio console, then power off.
 */
#include <fcntl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { HVC_MAJOR = 229 }; /* Documentation/admin-guide/devices.txt */

int main(void)
{
	static const char line[] = "hello from init\n";
	int fd;

	(void)mkdir("/dev", 0755);
	(void)mknod("/dev/hvc0", S_IFCHR | 0600, makedev(HVC_MAJOR, 0));
	fd = open("/dev/hvc0", O_WRONLY | O_NOCTTY);
	(void)!write(fd, line, sizeof line - 1);
	(void)reboot(RB_POWER_OFF);
	for (;;)
		(void)pause();
}

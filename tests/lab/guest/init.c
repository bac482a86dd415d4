/* PID 1 of the guests that test the VMM alone: says what it sees, does what "test=" on the kernel's
 * command line says, and ends the VM. */
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 4096, HOST_PORT = 1024, GUEST_PORT = 5000 };

static char cmdline[4096];

static bool asked(const char *what)
{
	return strstr(cmdline, what) != NULL;
}

static int connect_host(void)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
					  .svm_cid = VMADDR_CID_HOST,
					  .svm_port = HOST_PORT };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	return connect(fd, (const struct sockaddr *)&host, sizeof host) < 0 ? -1 : fd;
}

/* Everything until the end of the stream goes back. */
static void echo(int fd)
{
	static char bytes[65536];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof bytes)) > 0)
		for (ssize_t done = 0, r; done < n; done += r)
			if ((r = write(fd, bytes + done, (size_t)(n - done))) <= 0)
				return;
	(void)shutdown(fd, SHUT_WR);
	(void)close(fd);
}

static void test_vsock_out(void)
{
	int fd = connect_host();

	(void)printf("vsock: %s\n", fd < 0 ? "refused" : "connected");
	if (fd >= 0)
		echo(fd);
}

static void test_vsock_in(void)
{
	const struct sockaddr_vm any = { .svm_family = AF_VSOCK,
					 .svm_cid = VMADDR_CID_ANY,
					 .svm_port = GUEST_PORT };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (bind(fd, (const struct sockaddr *)&any, sizeof any) < 0 || listen(fd, 1) < 0)
		return;
	(void)printf("vsock: listening\n");
	(void)fflush(stdout);
	echo(accept(fd, NULL, NULL));
}

/* Copies the first disk to the second one and says what serial the first has. */
static void test_disks(void)
{
	static char bytes[BLOCK];
	char serial[32] = "";
	int from = open("/dev/vda", O_RDONLY), to = open("/dev/vdb", O_RDWR);
	int name = open("/sys/block/vda/serial", O_RDONLY);
	long total = 0;
	ssize_t n;

	if (read(name, serial, sizeof serial - 1) < 0)
		(void)printf("disks: no serial\n");
	while ((n = read(from, bytes, sizeof bytes)) > 0 && write(to, bytes, (size_t)n) == n)
		total += n;
	(void)printf("disks: copied %ld bytes of %s\n", total, serial);
	(void)printf("disks: first is %s\n",
		     pwrite(open("/dev/vda", O_RDWR | O_SYNC), bytes, sizeof bytes, 0) < 0
			 ? "read-only"
			 : "writable");
	(void)fsync(to);
}

/* Touches so many MiB of memory and looks at each again. */
static void test_memory(void)
{
	const char *word = strstr(cmdline, "touch=");
	size_t mib = word ? strtoul(word + strlen("touch="), NULL, 10) : 0;
	size_t wrong = 0, share = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
	unsigned char *bytes =
	    mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		bytes = NULL;
	/* All processors at once. */
	for (size_t i = 0; bytes && i < share; i++) {
		if (fork() != 0)
			continue;
		for (size_t at = i * BLOCK; at < mib << 20; at += share * BLOCK)
			bytes[at] = (unsigned char)(at / BLOCK * 7);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	for (size_t at = 0; bytes && at < mib << 20; at += BLOCK)
		wrong += bytes[at] != (unsigned char)(at / BLOCK * 7);
	(void)printf("memory: %zu MiB touched, %zu pages wrong\n", bytes ? mib : 0, wrong);
}

static void set_up(void)
{
	int fd;

	(void)mkdir("/proc", 0755);
	(void)mkdir("/sys", 0755);
	(void)mkdir("/dev", 0755);
	(void)mount("proc", "/proc", "proc", 0, NULL);
	(void)mount("sys", "/sys", "sysfs", 0, NULL);
	(void)mount("dev", "/dev", "devtmpfs", 0, NULL);
	fd = open("/dev/console", O_RDWR);
	if (fd >= 0) {
		(void)dup2(fd, 1);
		(void)dup2(fd, 2);
	}
	fd = open("/proc/cmdline", O_RDONLY);
	if (fd >= 0 && read(fd, cmdline, sizeof cmdline - 1) < 0)
		cmdline[0] = '\0';
}

int main(void)
{
	set_up();
	(void)printf("guest: %ld cpus %ld MiB\n", sysconf(_SC_NPROCESSORS_ONLN),
		     sysconf(_SC_PHYS_PAGES) / 256);
	if (asked("test=out"))
		test_vsock_out();
	if (asked("test=in"))
		test_vsock_in();
	if (asked("test=disks"))
		test_disks();
	if (asked("touch="))
		test_memory();
	(void)fflush(stdout);
	if (asked("test=panic"))
		return 1;
	if (asked("test=hang"))
		(void)pause();
	(void)reboot(asked("test=reboot") ? RB_AUTOBOOT : RB_POWER_OFF);
	return 0;
}

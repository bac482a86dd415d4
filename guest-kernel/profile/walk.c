/* An init that asks of the kernel what the agent and a first container do, so that the functions behind it can be put
 * next to those of the boot (boot-order.sh). What fails here for want of a device has run all the same. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	(void)!write(fd, text, strlen(text));
	close(fd);
}

static void get(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (read(fd, text, sizeof text) > 0)
		;
	close(fd);
}

/* A mount made the way the agent makes it: detached, then attached. */
static int detached(const char *type, const char *source, const char *options, unsigned attributes)
{
	int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC), mount;
	char key[64];

	if (source)
		syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0);
	for (const char *at = options; at && *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
		size_t n = strcspn(at, ",=");

		snprintf(key, sizeof key, "%.*s", (int)n, at);
		if (at[n] == '=') {
			char value[256];

			snprintf(value, sizeof value, "%.*s", (int)strcspn(at + n + 1, ","), at + n + 1);
			syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
		} else {
			syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0);
		}
	}
	syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
	close(fs);
	return mount;
}

static void attach(int mount, const char *path)
{
	mkdir(path, 0755);
	int target = open(path, O_PATH | O_CLOEXEC);

	syscall(SYS_move_mount, mount, "", target, "",
		MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	close(target);
	close(mount);
}

static void root(void)
{
	int below = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int top = detached("tmpfs", NULL, "", MOUNT_ATTR_NOSUID);
	struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };

	syscall(SYS_move_mount, top, "", below, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	(void)!fchdir(top);
	(void)!chroot(".");
	syscall(SYS_mount_setattr, below, "", AT_EMPTY_PATH, &readonly, sizeof readonly);
	mknod("/null", S_IFCHR | 0666, makedev(1, 3));
	for (int i = 0; i < 3; i++)
		open("/null", O_RDWR);
}

static void connect_host(void)
{
	struct sockaddr_vm host = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 1024 };
	struct epoll_event event = { .events = EPOLLIN };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), pair[2];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	char bytes[100];
	sigset_t signals;

	connect(fd, (void *)&host, sizeof host);
	poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 1);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	epoll_ctl(epoll, EPOLL_CTL_ADD, signalfd(-1, &signals, SFD_CLOEXEC), &event);
	epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event);
	epoll_ctl(epoll, EPOLL_CTL_ADD, eventfd(0, EFD_CLOEXEC), &event);
	(void)!write(pair[1], bytes, sizeof bytes);
	epoll_wait(epoll, &event, 1, 1);
	recvmsg(pair[0], &(struct msghdr){ .msg_iov = &(struct iovec){ bytes, sizeof bytes }, .msg_iovlen = 1 }, 0);
	clock_settime(CLOCK_REALTIME, &(struct timespec){ .tv_sec = 1700000000 });
}

static void make_disk(const char *name)
{
	unsigned major_number = 0, minor_number = 0;
	char path[64];

	snprintf(path, sizeof path, "/sys/block/%s/serial", name);
	get(path);
	snprintf(path, sizeof path, "/sys/block/%s/dev", name);
	FILE *file = fopen(path, "re");
	if (!file || fscanf(file, "%u:%u", &major_number, &minor_number) != 2)
		return;
	fclose(file);
	snprintf(path, sizeof path, "/%s", name);
	mknod(path, S_IFBLK | 0600, makedev(major_number, minor_number));
}

/* The emulator gives the disks their letters. */
static void attach_disk(const char *type, const char *options, const char *path)
{
	int mount = detached(type, "/vda", options, 0);

	attach(mount < 0 ? detached(type, "/vdb", options, 0) : mount, path);
}

static void file_systems(void)
{
	attach(detached("sysfs", NULL, "", MOUNT_ATTR_RDONLY), "/sys");
	make_disk("vda");
	make_disk("vdb");
	attach_disk("erofs", "ro", "/layer");
	attach_disk("ext4", "", "/rw");
	mkdir("/rw/upper", 0755);
	mkdir("/rw/work", 0755);
	attach(detached("overlay", NULL, "lowerdir=/layer,upperdir=/rw/upper,workdir=/rw/work,volatile", 0), "/root");
	attach(detached("cgroup2", NULL, "nsdelegate", 0), "/cgroup");
	put("/cgroup/cgroup.subtree_control", "+cpu +memory +pids +io +cpuset");
	mkdir("/cgroup/one", 0755);
	put("/cgroup/one/memory.max", "100000000");
	put("/cgroup/one/cpu.max", "100000 100000");
	put("/cgroup/one/pids.max", "100");
	put("/cgroup/one/memory.swap.max", "0");
}

static void filter_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kexec_load, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
		&(struct sock_fprog){ .len = sizeof code / sizeof *code, .filter = code });
}

static void container(void)
{
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	struct rlimit limit = { 1024, 1024 };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct capabilities[2] = { { 0xff, 0xff, 0 } };

	put("/cgroup/one/cgroup.procs", "0");
	unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP);
	ioctl(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), SIOCSIFFLAGS, &up);
	(void)!sethostname("box", 3);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	attach(detached("proc", NULL, "", 0), "/root/proc");
	attach(detached("tmpfs", NULL, "mode=755,size=65536k", 0), "/root/dev");
	attach(detached("devpts", NULL, "newinstance,ptmxmode=0666,mode=0620", 0), "/root/dev/pts");
	attach(detached("tmpfs", NULL, "size=64m", 0), "/root/dev/shm");
	attach(detached("mqueue", NULL, "", 0), "/root/dev/mqueue");
	attach(detached("sysfs", NULL, "", MOUNT_ATTR_RDONLY), "/root/sys");
	attach(detached("cgroup2", NULL, "", MOUNT_ATTR_RDONLY), "/root/sys/fs/cgroup");
	mknod("/root/dev/null", S_IFCHR | 0666, makedev(1, 3));
	(void)!symlink("/proc/self/fd", "/root/dev/fd");
	mount("/root/proc/sys", "/root/proc/sys", NULL, MS_BIND, NULL);
	mount(NULL, "/root/proc/sys", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
	mount("/root/dev/null", "/root/proc/kcore", NULL, MS_BIND, NULL);
	put("/root/proc/sys/net/ipv4/ping_group_range", "0 0");
	put("/root/etc/hosts", "127.0.0.1 localhost\n");
	put("/root/proc/self/oom_score_adj", "10");
	(void)!chdir("/root");
	syscall(SYS_pivot_root, ".", ".");
	umount2(".", MNT_DETACH);
	(void)!chdir("/");
	setrlimit(RLIMIT_NOFILE, &limit);
	setsid();
	syscall(SYS_close_range, 3, ~0U, 0);
	prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0);
	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	syscall(SYS_setgroups, 0, NULL);
	(void)!setresgid(0, 0, 0);
	(void)!setresuid(0, 0, 0);
	syscall(SYS_capset, &header, capabilities);
	filter_calls();
	execl("/program", "program", (char *)NULL);
	_exit(127);
}

/* As the first program of a container: it is itself, from the layer. */
static int program(void)
{
	char line[4096];
	int fd = open("/file", O_CREAT | O_RDWR, 0644), pipes[2];

	(void)!write(fd, "text", 4);
	get("/proc/self/status");
	get("/program");
	(void)!pipe(pipes);
	(void)!write(pipes[1], line, sizeof line);
	(void)!read(pipes[0], line, sizeof line);
	memset(line, 0, sizeof line);
	return 0;
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	(void)argc;
	if (strcmp(argv[0], "program") == 0)
		return program();
	root();
	connect_host();
	file_systems();
	pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		container();
	waitpid(pid, &status, 0);
	rmdir("/cgroup/one");
	sync();
	reboot(RB_POWER_OFF);
}

/* What the agent promises about containers, tried on a real one. agent_scenarios FOLDER [NAME]:
 * FOLDER holds layers/base, and an agent is started in it once "listening" is printed. */
#include "tests/agent/client.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned failures;

#define EXPECT(condition, result)                                                                  \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			failures++;                                                                \
			(void)printf("  FAILED line %d: %s\n    exit %u signal %u code %d errno "  \
				     "%d: %s\n    out: %.800s\n    err: %.800s\n",                 \
				     __LINE__, #condition, (result)->exit_code, (result)->signal,  \
				     (int)(result)->code, (result)->exec_errno, (result)->message, \
				     (result)->out.text, (result)->err.text);                      \
		}                                                                                  \
	} while (0)

static struct host host;
static struct spec spec;
static struct result result;

static void run(const char *script)
{
	memset(&result, 0, sizeof result);
	spec_init(&host, &spec, script);
	host_run(&host, &spec, &result);
}

static void again(void)
{
	memset(&result, 0, sizeof result);
	host_run(&host, &spec, &result);
}

static bool says(const char *text)
{
	return strcmp(result.out.text, text) == 0;
}

static void status_and_streams(void)
{
	run("echo out; echo err >&2; exit 7");
	EXPECT(result.exit_code == 7 && says("out\n"), &result);
	EXPECT(strcmp(result.err.text, "err\n") == 0, &result);
	run("kill -9 $$");
	EXPECT(result.exit_code == 137 || result.signal == 0, &result);
	run("echo $$; hostname; ls /proc/self/fd | wc -l; cat </dev/stdin; echo x >/dev/stdout");
	EXPECT(strncmp(result.out.text, "1\n", 2) == 0 && strstr(result.out.text, "x\n"), &result);
}

static void exec_errors(void)
{
	run("");
	spec.args[0] = "nosuchprogram";
	again();
	EXPECT(result.exec_errno == ENOENT && strstr(result.message, "not found in $PATH"),
	       &result);
	spec.args[0] = "/etc/passwd";
	again();
	EXPECT(result.exec_errno == EACCES, &result);
	spec.args[0] = "/etc";
	again();
	EXPECT(result.exec_errno != 0 && result.exec_errno != ENOENT, &result);
	spec.args[0] = "/bin/noformat";
	again();
	EXPECT(result.exec_errno == ENOEXEC, &result);
	spec.args[0] = "/bin/nointerpreter";
	again();
	EXPECT(result.exec_errno == ENOENT, &result);
	spec.args[0] = "/bin/sh";
	spec.user.name = "nobodyknows";
	again();
	EXPECT(result.code != TTRPC_OK &&
		   strstr(result.message, "unable to find user nobodyknows: no matching entries"),
	       &result);
}

static void users(void)
{
	static char *groups[] = { "games" };

	run("");
	spec.args[2] = "id; echo $HOME; echo ok >/dev/stdout";
	spec.user.name = "www";
	again();
	EXPECT(strstr(result.out.text, "uid=33(www) gid=33(www)") &&
		   strstr(result.out.text, "50(staff)") && strstr(result.out.text, "/var/www\nok"),
	       &result);
	spec.user.name = "33:games";
	again();
	EXPECT(strstr(result.out.text, "uid=33(www) gid=60(games)"), &result);
	spec.user.name = "4242";
	spec.user.additional_groups = groups;
	spec.user.n_additional_groups = 1;
	again();
	EXPECT(strstr(result.out.text, "uid=4242 gid=0") && strstr(result.out.text, "60(games)"),
	       &result);
	spec.user.name = (char *)(uintptr_t) "";
	spec.user.uid = 5;
	spec.user.gid = 6;
	spec.user.umask = 077;
	spec.user.umask_set = true;
	spec.args[2] = "id -u; id -g; umask; grep CapEff /proc/self/status";
	again();
	EXPECT(strstr(result.out.text, "5\n6\n0077\nCapEff:\t0000000000000000"), &result);
}

static void capabilities(void)
{
	run("");
	spec.capabilities.bounding = spec.capabilities.effective = spec.capabilities.permitted =
	    0x00000000a80425fb;
	spec.args[2] = "grep Cap /proc/self/status; mount -t tmpfs x /mnt 2>/dev/null || echo no";
	spec.process.no_new_privileges = true;
	again();
	EXPECT(strstr(result.out.text, "CapPrm:\t00000000a80425fb") &&
		   strstr(result.out.text, "CapBnd:\t00000000a80425fb") &&
		   strstr(result.out.text, "no\n"),
	       &result);
}

static void mounts(void)
{
	static char *options[] = { "nosuid", "nodev", "noexec", "size=1024k", "mode=1777" };
	static char *copy_up[] = { "tmpcopyup" };
	static char *bind[] = { "rbind", "ro" };

	run("");
	spec_mount(&spec, "/new/folder", "tmpfs", "tmpfs", options, 5);
	spec_mount(&spec, "/etc", "tmpfs", "tmpfs", copy_up, 1);
	spec_mount(&spec, "/evil/x", "tmpfs", "tmpfs", options, 3); /* evil -> ../../../tmp */
	spec_mount(&spec, "/null", "bind", "/null", bind, 2);
	spec.args[2] = "grep -E ' /new/folder | /etc | /tmp/x ' /proc/mounts; ls /etc/passwd; "
		       "ls -ld /new/folder; echo x >/null && echo wrote";
	again();
	EXPECT(strstr(result.out.text, "tmpfs /new/folder tmpfs rw,nosuid,nodev,noexec,relatime,"
				       "size=1024k"),
	       &result);
	EXPECT(strstr(result.out.text, " /etc ") && strstr(result.out.text, "/etc/passwd\n") &&
		   strstr(result.out.text, " /tmp/x tmpfs") &&
		   strstr(result.out.text, "drwxrwxrwt"),
	       &result);
	spec_mount(&spec, "/x", "nosuchfs", "x", NULL, 0);
	again();
	EXPECT(result.code != TTRPC_OK && strstr(result.message, "no such file system"), &result);
}

static void root_file_system(void)
{
	static char *masked[] = { "/proc/kcore", "/proc/acpi", "/sys/firmware", "/nothing" };
	static char *readonly[] = { "/proc/sys", "/bin" };
	static Katavm__Agent__V1__File file, *files[] = { &file };
	static Katavm__Agent__V1__Sysctl sysctl, *sysctls[] = { &sysctl };

	katavm__agent__v1__file__init(&file);
	file.path = "/etc/hosts";
	file.content.data = (uint8_t *)(uintptr_t) "127.0.0.1 me\n";
	file.content.len = 13;
	katavm__agent__v1__sysctl__init(&sysctl);
	sysctl.name = "kernel.msgmax";
	sysctl.value = "12345";
	run("echo hidden >/lower; rm /etc/group; ls /etc/group 2>/dev/null; touch /x && echo ok");
	EXPECT(says("ok\n"), &result);
	spec.args[2] = "cat /etc/hosts; cat /proc/sys/kernel/msgmax; hostname; wc -c </proc/kcore; "
		       "echo 1 2>/dev/null >/proc/sys/kernel/msgmax || echo ro; "
		       "touch /bin/x 2>/dev/null || echo ro; touch /x 2>/dev/null || echo ro; "
		       "touch /dev/shm/x && echo shm; pwd; cat /proc/self/oom_score_adj; "
		       "ls -l /dev/fd /dev/ptmx; echo a >/dev/null; test -c /dev/full && echo full";
	spec.request.files = files;
	spec.request.n_files = 1;
	spec.request.sysctls = sysctls;
	spec.request.n_sysctls = 1;
	spec.request.masked_paths = masked;
	spec.request.n_masked_paths = 4;
	spec.request.readonly_paths = readonly;
	spec.request.n_readonly_paths = 2;
	spec.request.hostname = "inside";
	spec.rootfs.readonly = true;
	spec.process.cwd = "/srv/made";
	spec.process.oom_score_adj = 321;
	spec.process.oom_score_adj_set = true;
	again();
	EXPECT(strstr(result.out.text, "127.0.0.1 me\n12345\ninside\n0\nro\nro\nro\nshm\n"
				       "/srv/made\n321\n"),
	       &result);
	EXPECT(strstr(result.out.text, "full"), &result);
}

static void much_output(void)
{
	run("dd if=/dev/zero bs=1M count=64 2>/dev/null; echo end >&2");
	EXPECT(result.out.total == 64ULL << 20 && strcmp(result.err.text, "end\n") == 0, &result);
	spec.args[2] = "dd if=/dev/zero bs=64k count=64 2>/dev/null";
	memset(&result, 0, sizeof result);
	result.out.pause_us = 20000;
	host_run(&host, &spec, &result);
	EXPECT(result.out.total == 4ULL << 20 && result.exit_code == 0, &result);
}

static bool got_some(const struct result *r)
{
	return r->out.total > 0;
}

static void reader_gone(void)
{
	spec_init(&host, &spec, "while echo y; do :; done 2>/dev/null; echo $? >&2");
	memset(&result, 0, sizeof result);
	host_start(&host, &spec, &result);
	host_serve(&host, &result, got_some);
	(void)close(result.out.fd);
	result.out.ended = true;
	host_wait(&host, &spec, &result);
	EXPECT(result.ended, &result);
	host_delete(&host, &spec);
}

/* What is mounted is not the agent's to write to. */
static void files(void)
{
	static char *copy_up[] = { "tmpcopyup" };
	Katavm__Agent__V1__WriteFileRequest write = KATAVM__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	Katavm__Agent__V1__File file = KATAVM__AGENT__V1__FILE__INIT;

	spec_init(&host, &spec,
		  "echo up; while [ ! -s /srv/end ]; do sleep 0.1; done; cat /srv/end; "
		  "cat /etc/passwd | head -n 1; ls /etc/new 2>/dev/null");
	spec_mount(&spec, "/etc", "tmpfs", "tmpfs", copy_up, 1);
	memset(&result, 0, sizeof result);
	host_start(&host, &spec, &result);
	host_serve(&host, &result, got_some);
	write.container_id = spec.id;
	write.file = &file;
	file.content.data = (uint8_t *)(uintptr_t) "end\n";
	file.content.len = 4;
	file.path = "/etc/passwd";
	EXPECT(host_call(&host, "WriteFile", &write.base) == TTRPC_FAILED_PRECONDITION, &result);
	file.path = "/etc/new";
	EXPECT(host_call(&host, "WriteFile", &write.base) == TTRPC_FAILED_PRECONDITION, &result);
	file.path = "/srv/end";
	EXPECT(host_call(&host, "WriteFile", &write.base) == TTRPC_OK, &result);
	host_wait(&host, &spec, &result);
	EXPECT(says("up\nend\nroot:x:0:0::/root:/bin/sh\n"), &result);
	host_delete(&host, &spec);
}

static void processes(void)
{
	Katavm__Agent__V1__SignalProcessRequest kill =
	    KATAVM__AGENT__V1__SIGNAL_PROCESS_REQUEST__INIT;
	Katavm__Agent__V1__Stdio stdio = KATAVM__AGENT__V1__STDIO__INIT;
	struct spec other;
	static struct result executed;

	spec_init(&host, &spec,
		  "trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.1; done");
	memset(&result, 0, sizeof result);
	memset(&executed, 0, sizeof executed);
	host_start(&host, &spec, &result);
	host_serve(&host, &result, got_some);
	spec_init(
	    &host, &other,
	    "cat /proc/1/cmdline | head -c 7; echo; cat /proc/self/cgroup; "
	    "test $(readlink /proc/self/ns/pid) = $(readlink /proc/1/ns/pid); echo $?; sleep 100 & "
	    "echo $$ >/tmp/pid; exit 4");
	other.process.stdio = &stdio;
	executed.held = true;
	host_exec(&host, &spec, "one", &other.process, &executed);
	EXPECT(executed.exit_code == 4 && strncmp(executed.out.text, "/bin/sh\n0::/\n0\n", 15) == 0,
	       &executed);
	memset(&executed, 0, sizeof executed);
	other.args[0] = "nosuch";
	host_exec(&host, &spec, "two", &other.process, &executed);
	EXPECT(executed.exec_errno == ENOENT, &executed);
	kill.container_id = spec.id;
	kill.signal = SIGTERM;
	EXPECT(host_call(&host, "SignalProcess", &kill.base) == TTRPC_OK, &result);
	host_wait(&host, &spec, &result);
	EXPECT(result.exit_code == 3 && says("up\nterm\n"), &result);
	EXPECT(host_call(&host, "SignalProcess", &kill.base) == TTRPC_NOT_FOUND, &result);
	host_delete(&host, &spec);
	EXPECT(host_call(&host, "SignalProcess", &kill.base) == TTRPC_NOT_FOUND, &result);
}

static void limits(void)
{
	static Katavm__Agent__V1__Rlimit limit, *rlimits[] = { &limit };

	run("");
	katavm__agent__v1__rlimit__init(&limit);
	limit.type = "RLIMIT_NOFILE";
	limit.soft = 100;
	limit.hard = 200;
	spec.process.rlimits = rlimits;
	spec.process.n_rlimits = 1;
	spec.request.resources = &spec.resources;
	spec.resources.memory_max = 16 << 20;
	spec.resources.pids_max = 20;
	spec.resources.cpu_quota_us = 50000;
	spec.args[2] = "ulimit -n; ulimit -Hn; cat /sys/fs/cgroup/memory.max "
		       "/sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max";
	again();
	EXPECT(says("100\n200\n16777216\n20\n50000 100000\n"), &result);
	spec.args[2] = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40";
	spec.args[0] = "/bin/sh";
	spec.resources.swap_max = 0;
	again();
	EXPECT(result.oom_killed, &result);
}

static void device_rules(void)
{
	static Katavm__Agent__V1__DeviceRule deny, allow, *rules[] = { &deny, &allow };
	static Katavm__Agent__V1__Device device, *devices[] = { &device };

	run("");
	katavm__agent__v1__device_rule__init(&deny);
	katavm__agent__v1__device_rule__init(&allow);
	katavm__agent__v1__device__init(&device);
	deny.access = "rwm";
	deny.major = deny.minor = -1;
	allow.allow = true;
	allow.type = "c";
	allow.major = 1;
	allow.minor = 11;
	allow.access = "r";
	device.path = "/dev/mine";
	device.type = "c";
	device.major = 1;
	device.minor = 11;
	device.mode = 0600;
	spec.request.devices = devices;
	spec.request.n_devices = 1;
	spec.request.device_rules = rules;
	spec.request.n_device_rules = 2;
	spec.args[2] = "echo ok >/dev/null && echo null; (exec 3</dev/mine) && echo kmsg; "
		       "mknod /tmp/mem c 1 1; (exec 3</tmp/mem) 2>/dev/null || echo denied; "
		       "(exec 3>/dev/mine) 2>/dev/null || echo denied";
	again();
	EXPECT(says("null\nkmsg\ndenied\ndenied\n"), &result);
}

static void terminal(void)
{
	run("");
	spec.process.terminal = true;
	spec.process.rows = 40;
	spec.process.columns = 123;
	spec.stdio.stderr_port = 0;
	spec.args[2] =
	    "tty; stty size; test -t 1 && test -c /dev/console && echo tty; "
	    "echo x >/dev/tty; dd if=/dev/zero bs=1k count=500 2>/dev/null | tr '\\0' z; "
	    "echo end";
	again();
	EXPECT(strncmp(result.out.text, "/dev/pts/0\r\n40 123\r\ntty\r\nx\r\nzzz", 30) == 0 &&
		   result.out.total > 512000,
	       &result);
}

static void small_init(void)
{
	run("");
	spec.process.init = true;
	spec.args[2] = "echo $$; cat /proc/1/comm; exit 9";
	again();
	EXPECT(result.exit_code == 9 && says("2\ninit\n"), &result);
	spec.args[2] = "kill -9 $$";
	again();
	EXPECT(result.exit_code == 137, &result);
}

/* As the usual profiles do: clone3 does not exist, and something is forbidden. */
static void seccomp(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sethostname, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	run("");
	spec.args[2] = "hostname x 2>/dev/null || echo denied; grep Seccomp: /proc/self/status";
	spec.process.seccomp_bpf.data = (uint8_t *)code;
	spec.process.seccomp_bpf.len = sizeof code;
	again();
	EXPECT(says("denied\nSeccomp:\t2\n"), &result);
	spec.process.no_new_privileges = true;
	spec.process.init = true;
	spec.user.uid = spec.user.gid = 33;
	again();
	EXPECT(says("denied\nSeccomp:\t2\n"), &result);
}

static void create_then_start(void)
{
	Katavm__Agent__V1__StartContainerRequest start =
	    KATAVM__AGENT__V1__START_CONTAINER_REQUEST__INIT;

	spec_init(&host, &spec, "echo started");
	memset(&result, 0, sizeof result);
	spec.request.start = false;
	host_start(&host, &spec, &result);
	EXPECT(result.code == TTRPC_OK && result.out.total == 0, &result);
	start.container_id = spec.id;
	EXPECT(host_call(&host, "StartContainer", &start.base) == TTRPC_OK, &result);
	host_wait(&host, &spec, &result);
	EXPECT(says("started\n"), &result);
	host_delete(&host, &spec);
	spec_init(&host, &spec, "echo never");
	memset(&result, 0, sizeof result);
	spec.request.start = false;
	host_start(&host, &spec, &result);
	host_delete(&host, &spec);
}

static void bad_messages(void)
{
	run("");
	spec.rootfs.n_layer_serials = 0;
	again();
	EXPECT(result.code == TTRPC_INVALID_ARGUMENT && strstr(result.message, "layer_serials"),
	       &result);
	spec.rootfs.n_layer_serials = 1;
	spec.mounts[0].destination = "/proc/../..";
	again();
	EXPECT(result.code == TTRPC_INVALID_ARGUMENT && strstr(result.message, "mounts[0]"),
	       &result);
	spec.mounts[0].destination = "/proc";
	spec.layers[0] = "absent";
	again();
	EXPECT(result.code != TTRPC_OK && strstr(result.message, "absent"), &result);
	spec.request.process = NULL;
	spec.layers[0] = "base";
	memset(&result, 0, sizeof result);
	EXPECT(host_call(&host, "CreateContainer", &spec.request.base) == TTRPC_INVALID_ARGUMENT,
	       &result);
}

/* There is no virtual machine here, so there are no slots: the calls say so. */
static void devices(void)
{
	Katavm__Agent__V1__Empty find = KATAVM__AGENT__V1__EMPTY__INIT;
	Katavm__Agent__V1__ReleaseDeviceRequest release =
	    KATAVM__AGENT__V1__RELEASE_DEVICE_REQUEST__INIT;

	run("");
	EXPECT(host_call(&host, "FindDevices", &find.base) == TTRPC_OK, &result);
	for (uint32_t slot = 3; slot < 1000; slot += 500) {
		release.slot = slot;
		EXPECT(host_call(&host, "ReleaseDevice", &release.base) ==
			   TTRPC_FAILED_PRECONDITION,
		       &result);
	}
}

/* Nor are there disks. */
static void disks(void)
{
	Katavm__Agent__V1__AttachDiskRequest attach = KATAVM__AGENT__V1__ATTACH_DISK_REQUEST__INIT;
	Katavm__Agent__V1__DetachDiskRequest detach = KATAVM__AGENT__V1__DETACH_DISK_REQUEST__INIT;

	run("");
	attach.container_id = detach.container_id = "nobody";
	attach.serial = detach.serial = "more";
	EXPECT(host_call(&host, "AttachDisk", &attach.base) == TTRPC_NOT_FOUND, &result);
	EXPECT(host_call(&host, "DetachDisk", &detach.base) == TTRPC_NOT_FOUND, &result);
}

static const struct {
	const char *name;
	void (*function)(void);
} scenarios[] = {
	{ "status_and_streams", status_and_streams },
	{ "exec_errors", exec_errors },
	{ "users", users },
	{ "capabilities", capabilities },
	{ "mounts", mounts },
	{ "root_file_system", root_file_system },
	{ "much_output", much_output },
	{ "reader_gone", reader_gone },
	{ "files", files },
	{ "processes", processes },
	{ "limits", limits },
	{ "device_rules", device_rules },
	{ "terminal", terminal },
	{ "small_init", small_init },
	{ "seccomp", seccomp },
	{ "create_then_start", create_then_start },
	{ "bad_messages", bad_messages },
	{ "devices", devices },
	{ "disks", disks },
};

int main(int argc, char **argv)
{
	Katavm__Agent__V1__ShutDownRequest shut_down = KATAVM__AGENT__V1__SHUT_DOWN_REQUEST__INIT;

	if (argc < 2)
		return 2;
	host_open(&host, argv[1]);
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		unsigned before = failures;

		if (argc > 2 && strcmp(argv[2], scenarios[i].name) != 0)
			continue;
		scenarios[i].function();
		(void)printf("%s %s\n", failures == before ? "ok" : "not ok", scenarios[i].name);
		(void)fflush(stdout);
	}
	EXPECT(host_call(&host, "ShutDown", &shut_down.base) == TTRPC_OK, &result);
	(void)printf("%u failures\n", failures);
	return failures > 0;
}

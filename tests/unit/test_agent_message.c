#include "agent/validate.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* A container that is valid, in pieces to be spoiled one at a time. */
static message_container container;
static message_rootfs rootfs;
static message_process process;
static message_user user;
static message_stdio streams;
static message_namespace space, *spaces[] = { &space, &space };
static message_mount mount, *mounts[] = { &mount };
static message_rlimit limit, *limits[] = { &limit };
static message_resources resources;
static message_sysctl sysctl, *sysctls[] = { &sysctl };
static message_device device, *devices[] = { &device };
static message_device_rule rule, *rules[] = { &rule };
static message_file file, *files[] = { &file };
static char *layers[] = { (char *)(uintptr_t) "layer0" };
static char *args[] = { (char *)(uintptr_t) "sh" };
static char *env[] = { (char *)(uintptr_t) "A=b" };
static struct error err;

static void make_valid(void)
{
	katavm__agent__v1__create_container_request__init(&container);
	katavm__agent__v1__rootfs__init(&rootfs);
	katavm__agent__v1__process__init(&process);
	katavm__agent__v1__user__init(&user);
	katavm__agent__v1__stdio__init(&streams);
	katavm__agent__v1__namespace__init(&space);
	katavm__agent__v1__mount__init(&mount);
	katavm__agent__v1__rlimit__init(&limit);
	katavm__agent__v1__resources__init(&resources);
	katavm__agent__v1__sysctl__init(&sysctl);
	katavm__agent__v1__device__init(&device);
	katavm__agent__v1__device_rule__init(&rule);
	katavm__agent__v1__file__init(&file);
	container.id = "c1";
	container.rootfs = &rootfs;
	container.process = &process;
	rootfs.layer_serials = layers;
	rootfs.n_layer_serials = 1;
	process.args = args;
	process.n_args = 1;
	process.env = env;
	process.n_env = 1;
	process.user = &user;
	process.stdio = &streams;
	space.type = "mount";
	container.namespaces = spaces;
	container.n_namespaces = 1;
	mount.destination = "/proc";
	container.mounts = mounts;
	container.n_mounts = 1;
	limit.type = "RLIMIT_NOFILE";
	process.rlimits = limits;
	process.n_rlimits = 1;
	container.resources = &resources;
	sysctl.name = "net.ipv4.ip_forward";
	container.sysctls = sysctls;
	container.n_sysctls = 1;
	device.path = "/dev/x";
	device.type = "c";
	container.devices = devices;
	container.n_devices = 1;
	rule.access = "rw";
	container.device_rules = rules;
	container.n_device_rules = 1;
	file.path = "/etc/hosts";
	container.files = files;
	container.n_files = 1;
}

TestSuite(agent_message, .init = make_valid);

static void refused(const char *field)
{
	err = (struct error){ 0 };
	cr_assert_eq(validate_container(&container, &err), -EINVAL, "%s", field);
	cr_assert(strstr(err.text, field) != NULL, "%s names %s", err.text, field);
	make_valid();
}

Test(agent_message, valid)
{
	cr_assert_eq(validate_container(&container, &err), 0, "%s", err.text);
}

Test(agent_message, missing_parts)
{
	container.rootfs = NULL;
	refused("rootfs");
	container.process = NULL;
	refused("process");
	process.n_args = 0;
	refused("process.args");
	container.n_namespaces = 0;
	refused("namespaces");
	rootfs.n_layer_serials = 0;
	refused("rootfs.layer_serials");
	process.user = NULL;
	process.stdio = NULL;
	container.resources = NULL;
	cr_assert_eq(validate_container(&container, &err), 0, "%s", err.text);
}

Test(agent_message, names_and_paths)
{
	container.id = "../x";
	refused("id");
	container.id = "";
	refused("id");
	mount.destination = "/a/../..";
	refused("mounts[0].destination");
	mount.destination = "proc";
	refused("mounts[0].destination");
	mount.destination = "/";
	refused("mounts[0].destination");
	file.path = "/etc/..";
	refused("files.path");
	device.path = "dev/x";
	refused("devices.path");
	sysctl.name = "../../etc/passwd";
	refused("sysctls");
	sysctl.name = "net...x";
	refused("sysctls");
	container.cgroups_path = "/a/../../b";
	refused("cgroups_path");
	container.cgroups_path = "/";
	refused("cgroups_path");
	process.cwd = "relative";
	refused("process.cwd");
	layers[0] = "a/b";
	refused("rootfs.layer_serials");
	layers[0] = "a serial that is longer";
	refused("rootfs.layer_serials");
	layers[0] = "layer0";
}

Test(agent_message, values)
{
	limit.type = "RLIMIT_NONE";
	refused("process.rlimits");
	limit.soft = 2;
	limit.hard = 1;
	refused("process.rlimits");
	env[0] = "novalue";
	refused("process.env");
	env[0] = "A=b";
	process.oom_score_adj = 1001;
	refused("process.oom_score_adj");
	process.seccomp_bpf.len = 7;
	refused("process.seccomp_bpf");
	process.seccomp_bpf.len = 8 * 4097;
	refused("process.seccomp_bpf");
	process.terminal = true;
	refused("process.stdio.stdout_port");
	user.umask = 01000;
	refused("process.user.umask");
	user.uid = UINT32_MAX;
	refused("process.user");
	rule.access = "rwx";
	refused("device_rules.access");
	rule.major = -2;
	refused("device_rules");
	device.type = "x";
	refused("devices.type");
	resources.cpu_weight = 10001;
	refused("resources.cpu_weight");
	container.rootfs_propagation = "sideways";
	refused("rootfs_propagation");
}

Test(agent_message, namespaces)
{
	space.type = "planet";
	refused("namespaces");
	container.n_namespaces = 2;
	refused("namespaces");
	space.path = "other";
	refused("namespaces");
}

Test(agent_message, sandbox)
{
	message_sandbox sandbox;
	message_container *containers[] = { &container };

	katavm__agent__v1__set_up_sandbox_request__init(&sandbox);
	sandbox.protocol_version = 2;
	cr_assert_eq(validate_sandbox(&sandbox, &err), -EPROTO);
	sandbox.protocol_version = 1;
	cr_assert_eq(validate_sandbox(&sandbox, &err), 0);
	sandbox.containers = containers;
	sandbox.n_containers = 1;
	cr_assert_eq(validate_sandbox(&sandbox, &err), 0);
	container.process = NULL;
	cr_assert_eq(validate_sandbox(&sandbox, &err), -EINVAL);
	cr_assert_str_eq(err.text, "containers[0].process: missing");
}

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

static message_interface interface, second, *interfaces[] = { &interface, &second };
static message_address address, *addresses[] = { &address };
static message_route route, *routes[] = { &route };
static message_neighbour neighbour, *neighbours[] = { &neighbour };
static uint8_t bytes[16] = { 10, 0, 0, 1 }, mac[6] = { 2, 0, 0, 0, 0, 1 },
	       other_mac[6] = { 2, 0, 0, 0, 0, 2 };

static void make_interfaces(void)
{
	katavm__agent__v1__interface__init(&interface);
	katavm__agent__v1__interface__init(&second);
	katavm__agent__v1__address__init(&address);
	katavm__agent__v1__route__init(&route);
	katavm__agent__v1__neighbour__init(&neighbour);
	interface.mac = neighbour.mac = (ProtobufCBinaryData){ 6, mac };
	second.mac = (ProtobufCBinaryData){ 6, other_mac };
	interface.name = "eth0";
	address.ip = neighbour.ip = route.gateway = (ProtobufCBinaryData){ 4, bytes };
	address.prefix = 32;
	interface.addresses = addresses;
	interface.routes = routes;
	interface.neighbours = neighbours;
	interface.n_addresses = interface.n_routes = interface.n_neighbours = 1;
}

static void refused_interface(const char *field)
{
	err = (struct error){ 0 };
	cr_assert_eq(validate_interfaces(interfaces, 2, &err), -EINVAL, "%s", field);
	cr_assert(strstr(err.text, field) != NULL, "%s names %s", err.text, field);
	make_interfaces();
}

Test(agent_message, interfaces)
{
	make_interfaces();
	cr_assert_eq(validate_interfaces(interfaces, 2, &err), 0, "%s", err.text);
	interface.mac.len = 5;
	refused_interface("interfaces.mac");
	second.mac.data = mac;
	refused_interface("interfaces.mac");
	second.name = "eth0";
	refused_interface("interfaces.name");
	interface.name = "sixteen-letters-";
	refused_interface("interfaces.name");
	interface.name = "a/b";
	refused_interface("interfaces.name");
	interface.name = "..";
	refused_interface("interfaces.name");
	interface.mtu = 67;
	refused_interface("interfaces.mtu");
	address.prefix = 33;
	refused_interface("interfaces.addresses");
	address.ip.len = 5;
	refused_interface("interfaces.addresses");
	interface.n_routes = 1025;
	refused_interface("routes");
}

Test(agent_message, interface_routes)
{
	make_interfaces();
	route.gateway.len = 0;
	refused_interface("interfaces.routes");
	route.prefix = 1; /* of no destination */
	refused_interface("interfaces.routes.prefix");
	route.destination = (ProtobufCBinaryData){ 16, bytes };
	refused_interface("interfaces.routes");
	route.source = (ProtobufCBinaryData){ 16, bytes };
	refused_interface("interfaces.routes");
	neighbour.mac.len = 0;
	refused_interface("interfaces.neighbours");
	cr_assert_eq(validate_interfaces(interfaces, 17, &err), -EINVAL);
}

Test(agent_message, file_to_write)
{
	cr_assert_eq(validate_file(&file, &err), 0);
	file.path = "/etc/../x";
	cr_assert_eq(validate_file(&file, &err), -EINVAL);
	cr_assert_eq(validate_file(NULL, &err), -EINVAL);
}

Test(agent_message, disks_that_come_and_go)
{
	message_attach attach = KATAVM__AGENT__V1__ATTACH_DISK_REQUEST__INIT;
	message_detach detach = KATAVM__AGENT__V1__DETACH_DISK_REQUEST__INIT;

	attach.serial = detach.serial = "data";
	cr_assert_eq(validate_attach(&attach, &err), 0);
	cr_assert_eq(validate_detach(&detach, &err), 0);
	attach.path = detach.path = "/dev/../data";
	cr_assert_eq(validate_attach(&attach, &err), -EINVAL);
	cr_assert_eq(validate_detach(&detach, &err), -EINVAL);
	attach.path = detach.path = "/dev/data";
	attach.n_device_rules = detach.n_device_rules = 1;
	attach.device_rules = detach.device_rules = rules;
	rule.access = "rwx";
	cr_assert_eq(validate_attach(&attach, &err), -EINVAL);
	cr_assert_eq(validate_detach(&detach, &err), -EINVAL);
	rule.access = "rwm";
	cr_assert_eq(validate_attach(&attach, &err), 0);
	attach.serial = detach.serial = "a name of twenty-one!";
	cr_assert_eq(validate_attach(&attach, &err), -EINVAL);
	cr_assert_eq(validate_detach(&detach, &err), -EINVAL);
}

Test(agent_message, new_limits)
{
	make_valid();
	cr_assert_eq(validate_resources(NULL, &err), -EINVAL);
	cr_assert_eq(validate_resources(&resources, &err), 0);
	resources.memory_max = -1;
	cr_assert_eq(validate_resources(&resources, &err), 0);
	resources.cpu_weight = 10001;
	cr_assert_eq(validate_resources(&resources, &err), -EINVAL);
}

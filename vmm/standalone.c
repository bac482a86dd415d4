/*
 * `katavm vmm --config FILE`: a VM without image, agent or store. Opens what the file names and
 * hands it over as the runtime does, so what is debugged here is the same VMM process.
 */
#include "base/own.h"
#include "base/sys.h"
#include "vmm/config_json.h"
#include "vmm/standalone_control.h"
#include "vmm/vmm.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { EXIT_FAILED = 125, MAX_CONFIG = 1 << 20 };

struct standalone {
	struct config_json config;
	bool verbose;
	uint64_t started_ns;
	struct vmm *vmm;
	int control_fd; /* -1: none */
};

static int open_path(const char *what, const char *path, int flags, struct error *err)
{
	int fd = sys_open(AT_FDCWD, path, flags, 0);

	if (fd < 0)
		return error_set(err, fd, "%s %s: %s", what, path, sys_text(fd));
	return fd;
}

static int read_config(const char *path, struct config_json *config, struct error *err)
{
	own_fd fd = open_path("configuration", path, O_RDONLY, err);
	own_mem char *text = calloc(1, MAX_CONFIG + 2);
	struct error why = { 0 };
	size_t size = 0;
	long n = 0;
	int r;

	if (fd < 0)
		return fd;
	if (!text)
		return error_set(err, -ENOMEM, "configuration %s: no memory", path);
	do {
		n = SYS_RETRY(read, fd, text + size, MAX_CONFIG + 1 - size);
		size += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	if (n < 0)
		return error_set(err, (int)n, "configuration %s: %s", path, sys_text((int)n));
	r = config_json_parse(text, size, config, &why);
	return r < 0 ? error_set(err, r, "configuration %s: %s", path, why.text) : 0;
}

static int open_files(const struct config_json *from, struct vmm_config *to, struct error *err)
{
	to->kernel_fd = open_path("kernel", from->kernel, O_RDONLY, err);
	if (to->kernel_fd < 0)
		return to->kernel_fd;
	if (from->initramfs[0]) {
		to->initramfs_fd = open_path("initramfs", from->initramfs, O_RDONLY, err);
		if (to->initramfs_fd < 0)
			return to->initramfs_fd;
	}
	for (size_t i = 0; i < from->disk_count; i++) {
		const struct config_disk *disk = &from->disks[i];
		int flags = (disk->read_only ? O_RDONLY : O_RDWR) | (disk->direct ? O_DIRECT : 0);
		int fd = open_path("disk", disk->path, flags, err);

		if (fd < 0)
			return fd;
		to->disks[i].fd = fd;
		to->disks[i].read_only = disk->read_only;
		to->disks[i].rate = disk->rate;
		memcpy(to->disks[i].serial, disk->serial, VMM_SERIAL_SIZE);
		to->disk_count++;
	}
	return 0;
}

static int open_tap(const struct config_net *net, bool is_multi, struct error *err)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	own_fd fd = open_path("tap", "/dev/net/tun", O_RDWR, err);
	int r;

	if (fd < 0)
		return fd;
	if (is_multi)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(request.ifr_name, net->tap, sizeof net->tap);
	r = sys_ioctl(fd, TUNSETIFF, &request);
	if (r < 0)
		return error_set(err, r, "tap %s: %s", net->tap, sys_text(r));
	return take_fd(&fd);
}

static int open_nets(const struct config_json *from, struct vmm_config *to, struct error *err)
{
	for (size_t i = 0; i < from->net_count; i++) {
		const struct config_net *net = &from->nets[i];
		struct vmm_net *out = &to->nets[i];

		out->mtu = (uint16_t)net->mtu;
		out->vhost = net->vhost;
		out->send_rate = net->send_rate;
		out->receive_rate = net->receive_rate;
		memcpy(out->mac, net->address, sizeof out->mac);
		for (; out->pair_count < net->queues; out->pair_count++) {
			int fd = open_tap(net, net->queues > 1, err);

			if (fd < 0)
				return fd;
			out->fds[out->pair_count] = fd;
		}
		to->net_count++;
	}
	return 0;
}

static int open_shares(const struct config_json *from, struct vmm_config *to, struct error *err)
{
	for (size_t i = 0; i < from->share_count; i++) {
		const struct config_share *share = &from->shares[i];
		const char *slash = strrchr(share->path, '/');
		struct vmm_share *out = &to->shares[i];
		int fd = open_path("share", share->path, O_PATH, err);

		if (fd < 0)
			return fd;
		out->fd = fd;
		out->read_only = share->read_only;
		out->cache = (enum vmm_cache)share->cache;
		out->notify = share->notify;
		memcpy(out->tag, share->tag, sizeof out->tag);
		/* of no meaning for a folder */
		(void)snprintf(out->file_name, sizeof out->file_name, "%.255s",
			       slash ? slash + 1 : share->path);
		to->share_count++;
	}
	return 0;
}

static int unix_socket(const char *path, struct sockaddr_un *address, struct error *err)
{
	int fd;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address->sun_path)
		return error_set(err, -ENAMETOOLONG, "socket %s: the path is too long", path);
	memcpy(address->sun_path, path, strlen(path) + 1);
	fd = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, fd, "socket %s: %s", path, sys_text(fd));
	return fd;
}

static int listen_port(struct vmm *vmm, const struct config_port *port, struct error *err)
{
	struct sockaddr_un address;
	own_fd fd = unix_socket(port->path, &address, err);
	int r;

	if (fd < 0)
		return fd;
	r = (int)SYS(bind, fd, (struct sockaddr *)&address, sizeof address);
	if (r == 0)
		r = (int)SYS(listen, fd, SOMAXCONN);
	if (r < 0)
		return error_set(err, r, "socket %s: listen: %s", port->path, sys_text(r));
	return vmm_listen_port(vmm, port->port, fd, err);
}

static int connect_port(struct vmm *vmm, const struct config_port *port, struct error *err)
{
	struct sockaddr_un address;
	own_fd fd = unix_socket(port->path, &address, err);
	int r;

	if (fd < 0)
		return fd;
	r = (int)SYS_RETRY(connect, fd, (struct sockaddr *)&address, sizeof address);
	if (r < 0)
		return error_set(err, r, "socket %s: connect: %s", port->path, sys_text(r));
	return vmm_bind_port(vmm, port->port, fd, VMM_STREAM_BOTH, err);
}

static int open_ports(struct standalone *alone, struct error *err)
{
	const struct config_json *config = &alone->config;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->listen_count; i++)
		r = listen_port(alone->vmm, &config->listen[i], err);
	for (size_t i = 0; r == 0 && i < config->connect_count; i++)
		r = connect_port(alone->vmm, &config->connect[i], err);
	return r;
}

/* A bound port serves one connection: the next one gets a socket of its own. */
static void on_connected(struct standalone *alone, const struct vmm_event *event)
{
	struct error err;

	if (alone->verbose)
		(void)fprintf(stderr,
			      "katavm vmm: guest entered after %.3f ms; port %u connected %.3f ms "
			      "later, with %llu exits and %llu KiB of guest memory\n",
			      (double)(event->entered_ns - alone->started_ns) / 1e6, event->port,
			      (double)(event->time_ns - event->entered_ns) / 1e6,
			      (unsigned long long)event->exits,
			      (unsigned long long)event->memory_kib);
	for (size_t i = 0; i < alone->config.connect_count; i++)
		if (alone->config.connect[i].port == event->port &&
		    connect_port(alone->vmm, &alone->config.connect[i], &err) < 0)
			(void)fprintf(stderr, "katavm vmm: %s\n", err.text);
}

static void on_ended(struct standalone *alone, const struct vmm_event *event)
{
	bool wanted = event->end == VMM_END_SHUTDOWN || event->end == VMM_END_REBOOT;
	struct error err;

	(void)fprintf(stderr, "katavm vmm: %s\n", event->text);
	if (wanted || alone->config.console || event->end == VMM_END_KILLED)
		return;
	if (vmm_dump_log(alone->vmm, STDERR_FILENO, &err) < 0)
		(void)fprintf(stderr, "katavm vmm: %s\n", err.text);
}

static int follow(struct standalone *alone)
{
	struct pollfd poll_fds[] = { { .fd = vmm_event_fd(alone->vmm), .events = POLLIN },
				     { .fd = alone->control_fd, .events = POLLIN } };
	struct vmm_event event;

	for (;;) {
		(void)SYS_RETRY(poll, poll_fds, 2, -1);
		if (poll_fds[1].revents)
			standalone_control_serve(alone->vmm, alone->control_fd);
		while (vmm_next_event(alone->vmm, &event) == 1) {
			if (event.kind == VMM_EVENT_CONNECTED)
				on_connected(alone, &event);
			if (event.kind != VMM_EVENT_ENDED)
				continue;
			on_ended(alone, &event);
			return event.end <= VMM_END_REBOOT ? EXIT_SUCCESS : EXIT_FAILURE;
		}
	}
}

static int run(struct standalone *alone, struct error *err)
{
	struct vmm_config config = { .vcpu_count = alone->config.vcpus,
				     .memory_mib = alone->config.memory_mib,
				     .huge_pages = alone->config.huge_pages,
				     .shared_memory = alone->config.shared_memory,
				     .spare_slots = alone->config.spare_slots,
				     .initramfs_fd = -1,
				     .console_fd = alone->config.console ? STDOUT_FILENO : -1 };
	int r;

	memcpy(config.cmdline, alone->config.cmdline, sizeof config.cmdline);
	r = open_files(&alone->config, &config, err);
	if (r == 0)
		r = open_nets(&alone->config, &config, err);
	if (r == 0 && alone->config.control[0]) {
		alone->control_fd = standalone_control_open(alone->config.control, err);
		r = alone->control_fd < 0 ? alone->control_fd : 0;
	}
	if (r == 0)
		r = open_shares(&alone->config, &config, err);
	if (r == 0)
		r = vmm_create(&alone->vmm, err);
	if (r == 0)
		r = vmm_start(alone->vmm, &config, err);
	if (r == 0)
		r = open_ports(alone, err);
	return r < 0 ? r : follow(alone);
}

static int usage(FILE *out, int status)
{
	(void)fprintf(
	    out,
	    "usage: katavm vmm [-v] --config FILE\n"
	    "Starts a virtual machine from a JSON file and ends with it: 0 after a shutdown or "
	    "reboot,\n"
	    "1 after anything else, 125 if it could not start.\n\n"
	    "  {\"kernel\": \"vmlinux\", \"initramfs\": \"init.cpio\", \"cmdline\": \"...\",\n"
	    "   \"memory_mib\": 512, \"vcpus\": 1, \"huge_pages\": false, "
	    "\"shared_memory\": false,\n"
	    "   \"console\": \"stdout\" or \"none\",\n"
	    "   \"disks\": [{\"path\": \"d.img\", \"serial\": \"d0\", \"readonly\": true, "
	    "\"direct\": false,\n"
	    "              \"rate\": {\"bytes\": 0, \"operations\": 0}}],\n"
	    "   \"spare_slots\": 0, \"control\": \"vm.sock\",\n"
	    "   \"net\": [{\"tap\": \"tap0\", \"mac\": \"02:00:00:00:00:01\", \"mtu\": 1500, "
	    "\"queues\": 1, \"vhost\": false,\n"
	    "            \"send_rate\": {\"bytes\": 0}, \"receive_rate\": {\"operations\": 0}}],\n"
	    "   \"shares\": [{\"path\": \"/srv\", \"tag\": \"srv\", \"readonly\": false, "
	    "\"cache\": \"auto\", \"notify\": false}],\n"
	    "   \"vsock\": {\"listen\": [{\"port\": 5000, \"path\": \"in.sock\"}],\n"
	    "             \"connect\": [{\"port\": 1024, \"path\": \"out.sock\"}]}}\n\n"
	    "Only \"kernel\" is needed. Who connects to in.sock reaches the guest's port; when the "
	    "guest\n"
	    "connects to the host's port it reaches out.sock. -v reports connections.\n"
	    "Who connects to vm.sock says one line: stats, resize SERIAL, add SERIAL PATH "
	    "[readonly], remove SERIAL.\n");
	return status;
}

int vmm_standalone_main(int argc, char **argv)
{
	own_mem struct standalone *alone = calloc(1, sizeof *alone);
	const char *path = NULL;
	struct error err = { 0 };
	int r;

	if (!alone)
		return EXIT_FAILED;
	alone->control_fd = -1;
	alone->started_ns = sys_monotonic_ns();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0)
			return usage(stdout, EXIT_SUCCESS);
		if (strcmp(argv[i], "-v") == 0)
			alone->verbose = true;
		else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			path = argv[++i];
		else
			return usage(stderr, EXIT_FAILED);
	}
	if (!path)
		return usage(stderr, EXIT_FAILED);
	r = read_config(path, &alone->config, &err);
	if (r == 0)
		r = run(alone, &err);
	vmm_destroy(alone->vmm);
	if (r < 0) {
		(void)fprintf(stderr, "katavm vmm: %s\n", err.text);
		return EXIT_FAILED;
	}
	return r;
}

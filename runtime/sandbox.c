#include "runtime/sandbox.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/paths.h"
#include "runtime/scratch.h"
#include "runtime/shares.h"
#include "runtime/spec.h"
#include "runtime/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

static const uint64_t MIB = UINT64_C(1) << 20;

/* An agent's answers are small; a guest that sends more is not one of ours. */
enum { ANSWER_MAX = 256 << 10 };

static int open_lib(const char *name, int *out, struct error *err)
{
	char path[PATH_MAX];
	int result = paths_lib(name, path, err), fd;

	if (result < 0)
		return result;
	fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	if (fd < 0)
		return error_set(err, fd, "open %.180s: %s", path, sys_text(fd));
	*out = fd;
	return 0;
}

static int open_kernel(const struct run_config *config, int *out, struct error *err)
{
	int fd;

	if (!config->kernel)
		return open_lib("vmlinux", out, err);
	fd = sys_open(AT_FDCWD, config->kernel, O_RDONLY, 0);
	if (fd < 0)
		return error_set(err, fd, "open the kernel %.150s: %s", config->kernel,
				 sys_text(fd));
	*out = fd;
	return 0;
}

uint64_t sandbox_vm_mib(uint64_t container_bytes)
{
	uint64_t mib = (container_bytes + MIB - 1) / MIB;

	return mib + 40 + mib / 64;
}

uint64_t sandbox_most_mib(uint64_t asked_bytes, uint64_t host_bytes)
{
	uint64_t mib = sandbox_vm_mib(asked_bytes > 0 ? asked_bytes : host_bytes);

	return asked_bytes == 0 && mib > VMM_MAX_MEMORY_MIB ? VMM_MAX_MEMORY_MIB : mib;
}

static uint64_t memory_of_host(const struct run_config *config)
{
	struct sysinfo host;

	if (SYS(sysinfo, &host) < 0)
		return config->memory_bytes;
	return (uint64_t)host.totalram * host.mem_unit;
}

/* What was written through the cache to make the disk is on the disk before it is gone around. */
static int open_direct(int disk, struct error *err)
{
	int r = (int)SYS_RETRY(fdatasync, disk);
	long flags = r < 0 ? r : SYS(fcntl, disk, F_GETFL);

	if (flags >= 0)
		flags = SYS(fcntl, disk, F_SETFL, (unsigned)flags | O_DIRECT);
	if (flags < 0)
		return error_set(err, (int)flags, "--disk-direct: %s",
				 flags == -EINVAL ? "the file system of the disk does not have it"
						  : sys_text((int)flags));
	return 0;
}

static int add_disks(const struct image *image, int scratch_fd, const struct vmm_rate *scratch_rate,
		     struct vmm_config *vm)
{
	for (size_t i = 0; i < image->layer_count; i++) {
		struct vmm_disk *disk = &vm->disks[vm->disk_count++];
		char serial[16];

		spec_layer_serial(i, serial);
		disk->fd = image->layers[i].fd;
		disk->read_only = true;
		(void)memcpy(disk->serial, serial, strlen(serial));
	}
	if (scratch_fd >= 0) {
		struct vmm_disk *disk = &vm->disks[vm->disk_count++];

		disk->fd = scratch_fd;
		disk->rate = *scratch_rate;
		(void)memcpy(disk->serial, SPEC_SCRATCH_SERIAL, strlen(SPEC_SCRATCH_SERIAL));
	}
	return 0;
}

static void add_nets(const struct net *net, const struct interface_options *options,
		     struct vmm_config *vm)
{
	for (size_t i = 0; i < net->interface_count; i++) {
		const struct net_interface *from = &net->interfaces[i];
		struct vmm_net *to = &vm->nets[vm->net_count++];

		to->pair_count = (unsigned)from->queue_count;
		to->mtu = (uint16_t)from->mtu;
		to->stream = from->stream;
		to->vhost = options->vhost;
		to->send_rate = options->send;
		to->receive_rate = options->receive;
		(void)memcpy(to->mac, from->mac, sizeof to->mac);
		for (size_t j = 0; j < from->queue_count; j++)
			to->fds[j] = from->tap_fds[j];
	}
}

static int start_vm(struct vmm *vmm, const struct sandbox_parts *parts, struct error *err)
{
	const struct run_config *config = parts->config;
	own_fd kernel = -1;
	own_fd initramfs = -1;
	own_fd scratch = -1;
	char root[PATH_MAX];
	struct vmm_config wanted = {
		.vcpu_count = config->vcpu_count,
		.memory_mib = sandbox_vm_mib(config->memory_bytes),
		.memory_max_mib =
		    sandbox_most_mib(config->memory_max_bytes, memory_of_host(config)),
		.console_fd = -1,
		.spare_slots = config->disk_slots,
	};
	int result = open_kernel(config, &kernel, err);

	if (result == 0)
		result = open_lib("initramfs.cpio", &initramfs, err);
	if (result == 0 && config->disk_bytes > 0) {
		result = paths_root(config->root, root, err);
		if (result == 0)
			result = scratch_open(root, config->disk_bytes, &scratch, err);
	}
	if (result == 0 && config->disk_direct)
		result = open_direct(scratch, err);
	if (result == 0)
		result = add_disks(parts->image, scratch, &config->disk_rate, &wanted);
	if (result < 0)
		return result;
	add_nets(parts->net, &config->interface_options, &wanted);
	shares_add(parts->shares, &wanted);
	wanted.kernel_fd = kernel;
	wanted.initramfs_fd = initramfs;
	return vmm_start(vmm, &wanted, err);
}

int sandbox_create(struct sandbox *out, struct error *err)
{
	struct sandbox sandbox = { 0 };
	int result = vmm_create(&sandbox.vmm, err);

	if (result == 0)
		*out = sandbox;
	return result;
}

static int connect_agent(struct sandbox *sandbox, struct error *err)
{
	own_fd ours = -1;
	own_fd theirs = -1;
	int ends[2];
	int result = (int)SYS(socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);

	if (result < 0)
		return error_set(err, result, "make the control connection: %s", sys_text(result));
	ours = ends[0];
	theirs = ends[1];
	result = vmm_bind_port(sandbox->vmm, SPEC_PORT_CONTROL, theirs, VMM_STREAM_BOTH, err);
	if (result < 0)
		return result;
	result = ttrpc_client_create(take_fd(&ours), ANSWER_MAX, &sandbox->agent);
	if (result < 0)
		return error_set(err, result, "make the control connection: %s", sys_text(result));
	return 0;
}

int sandbox_start(struct sandbox *sandbox, const struct sandbox_parts *parts, struct error *err)
{
	int result = start_vm(sandbox->vmm, parts, err);

	sandbox->memory_bytes = parts->config->memory_bytes;
	return result < 0 ? result : connect_agent(sandbox, err);
}

/* The VMM must not sleep in a terminal whose other end takes nothing, and a blocking one that polls
 * as writable promises room for a byte or two. One that cannot be opened again is given as it is.
 */
static int connect_stream(struct vmm *vmm, uint32_t port, int fd, enum vmm_stream stream,
			  struct error *err)
{
	own_fd again = terminal_reopen(fd, stream == VMM_STREAM_READ ? O_RDONLY : O_WRONLY);

	return vmm_bind_port(vmm, port, again < 0 ? fd : again, stream, err);
}

int sandbox_connect_stdio(struct sandbox *sandbox, const struct run_config *config,
			  struct error *err)
{
	int result = 0;

	if (config->interactive)
		result = connect_stream(sandbox->vmm, SPEC_PORT_STDIN, STDIN_FILENO,
					VMM_STREAM_READ, err);
	if (result == 0)
		result = connect_stream(sandbox->vmm, SPEC_PORT_STDOUT, STDOUT_FILENO,
					VMM_STREAM_WRITE, err);
	if (result == 0 && !config->terminal)
		result = connect_stream(sandbox->vmm, SPEC_PORT_STDERR, STDERR_FILENO,
					VMM_STREAM_WRITE, err);
	return result;
}

void sandbox_forget_disk(struct sandbox_disk *disk)
{
	if (!disk->name[0])
		return;
	disk_file_close(&disk->file);
	free(disk->host_path);
	free(disk->guest_path);
	*disk = (struct sandbox_disk){ 0 };
}

void sandbox_finish(struct sandbox *sandbox)
{
	vmm_destroy(sandbox->vmm);
	ttrpc_client_destroy(sandbox->agent);
	for (size_t i = 0; i < VMM_MAX_SPARES; i++)
		sandbox_forget_disk(&sandbox->disks[i]);
	*sandbox = (struct sandbox){ 0 };
}

/* The connection stays open too: its end would have the guest shut down, which nobody waits for. */
void sandbox_abandon(struct sandbox *sandbox)
{
	vmm_abandon(sandbox->vmm);
	*sandbox = (struct sandbox){ 0 };
}

#include "vmm/control.h"
#include "base/check.h"
#include "base/own.h"
#include "base/packet.h"
#include "base/sys.h"
#include "base/text.h"

#include <string.h>

enum { MIN_MEMORY_MIB = 32, NO_FDS = 0, ONE_FD = 1, START_FDS = -1 };

#define HEADER_SIZE offsetof(struct control_message, body)

static const struct shape {
	size_t body_size;
	int fd_count;
} shapes[CONTROL_KINDS] = {
	[CONTROL_START] = { sizeof(struct control_start), START_FDS },
	[CONTROL_BIND] = { sizeof(struct control_port), ONE_FD },
	[CONTROL_LISTEN] = { sizeof(struct control_port), ONE_FD },
	[CONTROL_DUMP_LOG] = { 0, ONE_FD },
	[CONTROL_READY] = { sizeof(struct control_result), NO_FDS },
	[CONTROL_DUMPED] = { sizeof(struct control_result), NO_FDS },
	[CONTROL_EVENT] = { sizeof(struct vmm_event), NO_FDS },
	[CONTROL_STATS] = { sizeof(uint32_t), NO_FDS },
	[CONTROL_MEMORY] = { sizeof(uint64_t), NO_FDS },
	[CONTROL_MEMORY_IS] = { sizeof(struct control_result), NO_FDS },
	[CONTROL_ADD_DISK] = { sizeof(struct control_disk), ONE_FD },
	[CONTROL_REMOVE_DISK] = { sizeof(struct control_disk), NO_FDS },
	[CONTROL_RESIZE_DISK] = { sizeof(struct control_disk), NO_FDS },
	[CONTROL_DISK_DONE] = { sizeof(struct control_result), NO_FDS },
	[CONTROL_END_GUEST] = { 0, NO_FDS },
	[CONTROL_IS_ENDING] = { sizeof(struct control_result), NO_FDS },
	[CONTROL_STATS_ARE] = { sizeof(struct vmm_device_stats), NO_FDS },
};

static bool is_text(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

/* The descriptors of all interfaces; 0 when there is none or one makes no sense. */
static size_t net_fd_count(const struct control_start *start)
{
	size_t sum = 0;

	for (uint32_t i = 0; i < start->net_count && i < VMM_MAX_NETS; i++) {
		if (start->nets[i].pair_count == 0 ||
		    start->nets[i].pair_count > VMM_MAX_NET_PAIRS || start->nets[i].stream > 1 ||
		    start->nets[i].vhost > 1)
			return 0;
		sum += (size_t)start->nets[i].pair_count * (1U + start->nets[i].vhost);
	}
	return sum;
}

static bool start_is_valid(const struct control_start *start, size_t fd_count)
{
	size_t net_fds = net_fd_count(start);

	if (start->memory_mib < MIN_MEMORY_MIB || start->memory_mib > VMM_MAX_MEMORY_MIB ||
	    start->memory_max_mib > VMM_MAX_MEMORY_MIB || start->vcpu_count == 0 ||
	    start->vcpu_count > VMM_MAX_VCPUS || start->spare_slots > VMM_MAX_SPARES ||
	    start->disk_count > VMM_MAX_DISKS || start->net_count > VMM_MAX_NETS ||
	    start->share_count > VMM_MAX_SHARES || (start->net_count > 0 && net_fds == 0))
		return false;
	if (start->huge_pages > 1 || start->has_initramfs > 1 || start->has_console > 1 ||
	    start->shared_memory > 1 || !is_text(start->cmdline, sizeof start->cmdline))
		return false;
	for (uint32_t i = 0; i < start->disk_count; i++)
		if (start->disks[i].read_only > 1)
			return false;
	return fd_count == 2U + start->has_initramfs + start->has_console +
			       (size_t)start->disk_count + net_fds + (start->share_count > 0);
}

static bool event_is_valid(const struct vmm_event *event)
{
	return (unsigned)event->kind <= VMM_EVENT_ENDED && (unsigned)event->end <= VMM_END_KILLED &&
	       event->written_error <= 0 && is_text(event->text, sizeof event->text);
}

static bool stats_are_valid(const struct vmm_device_stats *stats)
{
	return is_text(stats->name, sizeof stats->name) && stats->queue_count <= VMM_STATS_QUEUES;
}

static bool body_is_valid(const struct control_message *message, size_t fd_count)
{
	switch ((enum control_kind)message->kind) {
	case CONTROL_START:
		return start_is_valid(&message->body.start, fd_count);
	case CONTROL_BIND:
		return message->body.port.stream <= VMM_STREAM_BOTH;
	case CONTROL_MEMORY:
		return message->body.memory_mib >= MIN_MEMORY_MIB &&
		       message->body.memory_mib <= VMM_MAX_MEMORY_MIB;
	case CONTROL_READY:
	case CONTROL_MEMORY_IS:
	case CONTROL_DUMPED:
	case CONTROL_DISK_DONE:
	case CONTROL_IS_ENDING:
		return message->body.result.code <= 0 &&
		       is_text(message->body.result.text, sizeof message->body.result.text);
	case CONTROL_EVENT:
		return event_is_valid(&message->body.event);
	case CONTROL_ADD_DISK:
	case CONTROL_REMOVE_DISK:
	case CONTROL_RESIZE_DISK:
		return message->body.disk.read_only <= 1;
	case CONTROL_STATS_ARE:
		return stats_are_valid(&message->body.stats);
	case CONTROL_LISTEN:
	case CONTROL_STATS:
	case CONTROL_DUMP_LOG:
	case CONTROL_END_GUEST:
	case CONTROL_KINDS:
		break;
	}
	return true;
}

/* Sentences for a person's terminal, from a process that the guest may have taken over. */
static void make_printable(struct control_message *message)
{
	if (message->kind == CONTROL_READY || message->kind == CONTROL_MEMORY_IS ||
	    message->kind == CONTROL_DUMPED || message->kind == CONTROL_DISK_DONE)
		text_make_printable(message->body.result.text);
	else if (message->kind == CONTROL_EVENT)
		text_make_printable(message->body.event.text);
}

int control_parse(const void *packet, size_t size, size_t fd_count, struct control_message *out)
{
	struct control_message message = { 0 };

	if (size < HEADER_SIZE || size > sizeof message)
		return -EPROTO;
	memcpy(&message, packet, size);
	if (message.kind >= CONTROL_KINDS || size != HEADER_SIZE + shapes[message.kind].body_size)
		return -EPROTO;
	if (shapes[message.kind].fd_count >= 0 && fd_count != (size_t)shapes[message.kind].fd_count)
		return -EPROTO;
	if (!body_is_valid(&message, fd_count))
		return -EPROTO;
	make_printable(&message);
	*out = message;
	return 0;
}

int control_send(int socket, const struct control_message *message, const int *fds, size_t fd_count)
{
	return packet_send(socket, message, HEADER_SIZE + shapes[message->kind].body_size, fds,
			   fd_count);
}

int control_receive(int socket, bool wait, struct control_message *out, int fds[PACKET_MAX_FDS],
		    size_t *fd_count)
{
	struct control_message buffer;
	long n = packet_receive(socket, wait, &buffer, sizeof buffer, fds, fd_count);
	int r;

	if (n <= 0)
		return (int)n;
	r = control_parse(&buffer, (size_t)n, *fd_count, out);
	if (r < 0) {
		for (size_t i = 0; i < *fd_count; i++)
			close_fd(&fds[i]);
		return r;
	}
	return 1;
}

static int check_config(const struct vmm_config *config, struct error *err)
{
	if (config->vcpu_count == 0 || config->vcpu_count > VMM_MAX_VCPUS)
		return error_set(err, -EINVAL, "%u vCPUs: 1 to %d are possible", config->vcpu_count,
				 VMM_MAX_VCPUS);
	if (config->memory_mib < MIN_MEMORY_MIB || config->memory_mib > VMM_MAX_MEMORY_MIB)
		return error_set(err, -EINVAL, "%llu MiB of memory: %d MiB to %d TiB are possible",
				 (unsigned long long)config->memory_mib, MIN_MEMORY_MIB,
				 VMM_MAX_MEMORY_MIB >> 20);
	if (config->memory_max_mib > VMM_MAX_MEMORY_MIB)
		return error_set(err, -EINVAL, "at most %llu MiB of memory: %d TiB are possible",
				 (unsigned long long)config->memory_max_mib,
				 VMM_MAX_MEMORY_MIB >> 20);
	if (config->disk_count > VMM_MAX_DISKS)
		return error_set(err, -EINVAL, "%zu disks: %d are possible", config->disk_count,
				 VMM_MAX_DISKS);
	if (config->net_count > VMM_MAX_NETS)
		return error_set(err, -EINVAL, "%zu network interfaces: %d are possible",
				 config->net_count, VMM_MAX_NETS);
	for (size_t i = 0; i < config->net_count; i++)
		if (config->nets[i].pair_count < 1 ||
		    config->nets[i].pair_count > VMM_MAX_NET_PAIRS)
			return error_set(err, -EINVAL,
					 "network interface: %u queue pairs: 1 to %d are possible",
					 config->nets[i].pair_count, VMM_MAX_NET_PAIRS);
	if (config->share_count > VMM_MAX_SHARES)
		return error_set(err, -EINVAL, "%zu shared folders: %d are possible",
				 config->share_count, VMM_MAX_SHARES);
	if (config->spare_slots > VMM_MAX_SPARES)
		return error_set(err, -EINVAL, "%u spare slots: %d are possible",
				 config->spare_slots, VMM_MAX_SPARES);
	if (!is_text(config->cmdline, sizeof config->cmdline))
		return error_set(err, -EINVAL, "kernel command line: not terminated");
	return 0;
}

static size_t pack_nets(const struct vmm_config *config, struct control_start *start, int *fds)
{
	size_t count = 0;

	start->net_count = (uint32_t)config->net_count;
	for (size_t i = 0; i < config->net_count; i++) {
		const struct vmm_net *net = &config->nets[i];

		start->nets[i].mtu = net->mtu;
		start->nets[i].stream = net->stream;
		start->nets[i].vhost = net->vhost;
		start->nets[i].send_rate = net->send_rate;
		start->nets[i].receive_rate = net->receive_rate;
		start->nets[i].pair_count = (uint8_t)net->pair_count;
		memcpy(start->nets[i].mac, net->mac, VMM_MAC_SIZE);
		for (unsigned pair = 0; pair < net->pair_count; pair++)
			fds[count++] = net->fds[pair];
		for (unsigned pair = 0; net->vhost && pair < net->pair_count; pair++)
			fds[count++] = net->vhost_fds[pair];
	}
	return count;
}

static size_t unpack_nets(const struct control_start *start, const int *fds, struct vmm_config *out)
{
	size_t count = 0;

	out->net_count = start->net_count;
	for (size_t i = 0; i < start->net_count; i++) {
		struct vmm_net *net = &out->nets[i];

		net->mtu = start->nets[i].mtu;
		net->stream = start->nets[i].stream;
		net->vhost = start->nets[i].vhost;
		net->send_rate = start->nets[i].send_rate;
		net->receive_rate = start->nets[i].receive_rate;
		net->pair_count = start->nets[i].pair_count;
		memcpy(net->mac, start->nets[i].mac, VMM_MAC_SIZE);
		for (unsigned pair = 0; pair < net->pair_count; pair++)
			net->fds[pair] = fds[count++];
		for (unsigned pair = 0; net->vhost && pair < net->pair_count; pair++)
			net->vhost_fds[pair] = fds[count++];
	}
	return count;
}

/* The VMM needs no more of a share than what the guest calls it: the folders are the server's. */
static size_t pack_shares(const struct vmm_config *config, struct control_start *start, int *fds)
{
	start->share_count = (uint32_t)config->share_count;
	for (size_t i = 0; i < config->share_count; i++)
		memcpy(start->share_tags[i], config->shares[i].tag, VMM_TAG_SIZE);
	if (config->share_count == 0)
		return 0;
	fds[0] = config->share_socket;
	return 1;
}

static void unpack_shares(const struct control_start *start, const int *fds, struct vmm_config *out)
{
	out->share_count = start->share_count;
	out->share_socket = start->share_count > 0 ? fds[0] : -1;
	for (size_t i = 0; i < start->share_count; i++) {
		out->shares[i].fd = -1;
		memcpy(out->shares[i].tag, start->share_tags[i], VMM_TAG_SIZE);
	}
}

int control_pack_config(const struct vmm_config *config, int kvm_fd, struct control_message *out,
			int fds[PACKET_MAX_FDS], size_t *fd_count, struct error *err)
{
	struct control_start *start = &out->body.start;
	int r = check_config(config, err);
	size_t count = 0;

	if (r < 0)
		return r;
	memset(out, 0, sizeof *out);
	out->kind = CONTROL_START;
	start->memory_mib = config->memory_mib;
	start->memory_max_mib = config->memory_max_mib;
	start->vcpu_count = config->vcpu_count;
	start->disk_count = (uint32_t)config->disk_count;
	start->spare_slots = config->spare_slots;
	start->huge_pages = config->huge_pages;
	start->shared_memory = config->shared_memory;
	start->has_initramfs = config->initramfs_fd >= 0;
	start->has_console = config->console_fd >= 0;
	memcpy(start->cmdline, config->cmdline, sizeof start->cmdline);
	fds[count++] = kvm_fd;
	fds[count++] = config->kernel_fd;
	if (start->has_initramfs)
		fds[count++] = config->initramfs_fd;
	if (start->has_console)
		fds[count++] = config->console_fd;
	for (size_t i = 0; i < config->disk_count; i++) {
		start->disks[i].rate = config->disks[i].rate;
		start->disks[i].read_only = config->disks[i].read_only;
		memcpy(start->disks[i].serial, config->disks[i].serial, VMM_SERIAL_SIZE);
		fds[count++] = config->disks[i].fd;
	}
	count += pack_nets(config, start, fds + count);
	count += pack_shares(config, start, fds + count);
	*fd_count = count;
	return 0;
}

void control_unpack_config(const struct control_start *start, const int *fds, int *kvm_fd,
			   struct vmm_config *out)
{
	size_t next = 0;

	*kvm_fd = fds[next++];
	*out = (struct vmm_config){ .vcpu_count = start->vcpu_count,
				    .memory_mib = start->memory_mib,
				    .memory_max_mib = start->memory_max_mib,
				    .huge_pages = start->huge_pages,
				    .shared_memory = start->shared_memory,
				    .kernel_fd = fds[next++],
				    .initramfs_fd = -1,
				    .console_fd = -1,
				    .spare_slots = start->spare_slots,
				    .disk_count = start->disk_count };
	if (start->has_initramfs)
		out->initramfs_fd = fds[next++];
	if (start->has_console)
		out->console_fd = fds[next++];
	memcpy(out->cmdline, start->cmdline, sizeof out->cmdline);
	for (size_t i = 0; i < start->disk_count; i++) {
		out->disks[i].fd = fds[next++];
		out->disks[i].rate = start->disks[i].rate;
		out->disks[i].read_only = start->disks[i].read_only;
		memcpy(out->disks[i].serial, start->disks[i].serial, VMM_SERIAL_SIZE);
	}
	next += unpack_nets(start, fds + next, out);
	unpack_shares(start, fds + next, out);
}

/*
 * vhost-net: the host's kernel moves packets between the guest's queues and the tap. It is given
 * guest memory, the queues as the driver set them up, the kick eventfds that KVM signals, and the
 * eventfd that is the device's interrupt; from then on no packet and no kick comes to this process,
 * and what a packet may be is judged by the kernel alone. Everything else stays here: registers,
 * the control queue, the link.
 *
 * One descriptor serves one queue pair. Between DRIVER_OK and reset a queue has a backend, the tap;
 * without one the kernel touches neither queue nor memory, and the call that takes the backend away
 * waits for what is on its way.
 */
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/net_private.h"

#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

/* What must be in the kernel's hands as in ours, because the transport offers it or the driver is
 * slow without it. */
#define NEEDED                                                                                     \
	(NET_BIT(VIRTIO_F_VERSION_1) | NET_BIT(VIRTIO_RING_F_EVENT_IDX) |                          \
	 NET_BIT(VIRTIO_RING_F_INDIRECT_DESC) | NET_BIT(VIRTIO_NET_F_MRG_RXBUF))

/* A tap that is removed tells nobody but readers, and we are none. */
#define LOOK_NS UINT64_C(1000000000)

enum { NO_BACKEND = -1 };

static int vhost(const struct net *net, unsigned pair, unsigned long request, void *argument)
{
	return sys_ioctl(net->setup.vhost_fds[pair], request, argument);
}

int net_vhost_init(struct net *net)
{
	int r = 0;

	if (!net->is_tap || rate_limit_is_on(&net->send_limit.limit) ||
	    rate_limit_is_on(&net->receive_limit.limit))
		return -EINVAL;
	for (unsigned pair = 0; r == 0 && pair < net->setup.pair_count; pair++) {
		uint64_t features = 0;

		r = vhost(net, pair, VHOST_SET_OWNER, NULL);
		if (r == 0)
			r = vhost(net, pair, VHOST_GET_FEATURES, &features);
		if (r == 0 && (features & NEEDED) != NEEDED)
			r = -EOPNOTSUPP;
	}
	if (r < 0)
		return r;
	net->vhost.error_fd = sys_eventfd();
	return net->vhost.error_fd < 0 ? net->vhost.error_fd : 0;
}

void net_vhost_finish(struct net *net)
{
	if (net->setup.is_vhost)
		close_fd(&net->vhost.error_fd);
}

/* ---- set-up ---- */

static uint64_t address_of(const struct net *net, gpa_t start, size_t size)
{
	struct iovec range = { 0 };

	return gmem_iovec(net->device.mem, start, size, &range) < 0 ? 0 : (uintptr_t)range.iov_base;
}

static int give_memory(struct net *net)
{
	const struct gmem *mem = net->device.mem;
	own_mem struct vhost_memory *table =
	    calloc(1, sizeof *table + mem->region_count * sizeof table->regions[0]);
	int r = 0;

	if (!table)
		return -ENOMEM;
	table->nregions = (uint32_t)mem->region_count;
	for (size_t i = 0; i < mem->region_count; i++) {
		gpa_t start = { mem->regions[i].start };

		table->regions[i].guest_phys_addr = start.value;
		table->regions[i].memory_size = mem->regions[i].size;
		table->regions[i].userspace_addr = address_of(net, start, mem->regions[i].size);
	}
	for (unsigned pair = 0; r == 0 && pair < net->setup.pair_count; pair++)
		r = vhost(net, pair, VHOST_SET_MEM_TABLE, table);
	return r;
}

static bool is_used(const struct net *net, unsigned queue)
{
	return net->device.queues[queue].size > 0;
}

/* Sizes and places were judged when the transport opened the queue. */
static int give_queue(struct net *net, unsigned pair, unsigned index)
{
	unsigned queue = 2 * pair + index;
	const struct virtqueue_layout *layout = &net->device.layouts[queue];
	struct vhost_vring_state size = { .index = index, .num = layout->size };
	struct vhost_vring_state base = { .index = index };
	struct vhost_vring_addr place = {
		.index = index,
		.desc_user_addr = address_of(net, layout->descriptors, 1),
		.avail_user_addr = address_of(net, layout->avail, 1),
		.used_user_addr = address_of(net, layout->used, 1),
	};
	struct vhost_vring_file kick = { .index = index, .fd = net->device.kick_fds[queue] };
	struct vhost_vring_file interrupt = { .index = index, .fd = net->device.irq_fd };
	struct vhost_vring_file error = { .index = index, .fd = net->vhost.error_fd };
	const struct {
		unsigned long request;
		void *argument;
	} steps[] = {
		{ VHOST_SET_VRING_NUM, &size },       { VHOST_SET_VRING_BASE, &base },
		{ VHOST_SET_VRING_ADDR, &place },     { VHOST_SET_VRING_KICK, &kick },
		{ VHOST_SET_VRING_CALL, &interrupt }, { VHOST_SET_VRING_ERR, &error },
	};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < sizeof steps / sizeof steps[0]; i++)
		r = vhost(net, pair, steps[i].request, steps[i].argument);
	return r;
}

static int set_backends(struct net *net, bool on)
{
	int first = 0;

	for (unsigned queue = 0; queue < 2 * net->setup.pair_count; queue++) {
		struct vhost_vring_file backend = { .index = queue % 2,
						    .fd = on ? net->setup.fds[queue / 2]
							     : NO_BACKEND };
		int r = 0;

		if (is_used(net, queue))
			r = vhost(net, queue / 2, VHOST_NET_SET_BACKEND, &backend);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/* ---- while it runs ---- */

static void lost(struct net *net, int error)
{
	(void)set_backends(net, false);
	net_lost(net, error);
}

static void look(struct io_op *op, int result)
{
	struct net *net = container_of(op, struct net, vhost.timer);
	int r = result < 0 ? result : net_tap_is_there(net);

	if (result < 0)
		return;
	if (r < 0)
		lost(net, r);
	else
		io_timer(net->device.io, op, LOOK_NS, look);
}

/* The kernel found a chain that cannot be one. */
static void complained(struct io_op *op, int result)
{
	struct net *net = container_of(op, struct net, vhost.error);

	if (result < 0)
		return;
	(void)set_backends(net, false);
	virtio_break(&net->device, "bad descriptors");
}

int net_vhost_start(struct net *net)
{
	uint64_t features = net->device.driver_features & NEEDED;
	int r = give_memory(net);

	for (unsigned pair = 0; r == 0 && pair < net->setup.pair_count; pair++) {
		r = vhost(net, pair, VHOST_SET_FEATURES, &features);
		for (unsigned index = 0; r == 0 && index < 2; index++)
			if (is_used(net, 2 * pair + index))
				r = give_queue(net, pair, index);
	}
	if (r == 0 && net->is_up)
		r = set_backends(net, true);
	if (r < 0) {
		log_warning("virtio-net: vhost-net: %s", sys_text(r));
		(void)set_backends(net, false);
		return r;
	}
	io_watch(net->device.io, &net->vhost.error, net->vhost.error_fd, complained);
	if (!net->is_lost)
		io_timer(net->device.io, &net->vhost.timer, LOOK_NS, look);
	return 0;
}

void net_vhost_stop(struct net *net)
{
	(void)io_cancel_wait(&net->vhost.timer);
	(void)io_cancel_wait(&net->vhost.error);
	(void)set_backends(net, false);
}

void net_vhost_set_link(struct net *net, bool up)
{
	int r = net->device.active && !net->device.queues[0].broken ? set_backends(net, up) : 0;

	if (r < 0)
		log_warning("virtio-net: vhost-net: the link: %s", sys_text(r));
}

void virtio_net_memory_changed(struct virtio_device *device)
{
	struct net *net = net_of(device);
	int r = net->setup.is_vhost && device->active ? give_memory(net) : 0;

	if (r < 0)
		log_warning("virtio-net: vhost-net: more memory: %s", sys_text(r));
}

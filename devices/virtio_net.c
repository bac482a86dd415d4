/*
 * The network device: what it offers, its life, its link. One queue pair moves packets on its own
 * (net_send.c, net_receive.c); the device thread serves all pairs.
 *
 * Offloads: the driver says which packets it takes unfinished, and the tap is told at DRIVER_OK;
 * which ones it may send unfinished is checked packet by packet.
 */
#include "base/own.h"
#include "base/sys.h"
#include "devices/net_private.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/ioctl.h>

_Static_assert(2 * VIRTIO_NET_MAX_PAIRS + 1 <= VIRTIO_MAX_QUEUES, "two queues a pair, and control");

static unsigned control_queue(const struct net *net)
{
	return net_has(net, VIRTIO_NET_F_MQ) ? 2 * net->setup.pair_count : 2; /* 5.1.2 */
}

/* ---- the tap's side; a socket has none of this ---- */

static uint32_t tun_offloads(uint64_t features)
{
	static const struct {
		uint8_t feature, flag;
	} table[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM }, { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 }, { VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
		{ NET_F_GUEST_USO4, NET_TUN_F_USO4 },    { NET_F_GUEST_USO6, NET_TUN_F_USO6 }
	};
	uint32_t flags = 0;

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (features >> table[i].feature & 1)
			flags |= table[i].flag;
	return flags;
}

static int set_offloads(const struct net *net, uint32_t flags)
{
	return sys_ioctl(net->setup.fds[0], TUNSETOFFLOAD, (void *)(uintptr_t)flags);
}

void net_set_guest_offloads(struct net *net, uint64_t features)
{
	uint32_t flags = tun_offloads(features);
	const uint32_t both = NET_TUN_F_USO4 | NET_TUN_F_USO6;

	if (!net->is_tap || net->is_lost)
		return;
	if ((flags & both) != both) /* the tap knows them together only */
		flags &= ~both;
	if (!(flags & TUN_F_CSUM)) /* segments need checksums (5.1.3.1) */
		flags = 0;
	(void)set_offloads(net, flags);
}

int net_tap_is_there(const struct net *net)
{
	struct ifreq request = { 0 };

	return sys_ioctl(net->setup.fds[0], TUNGETIFF, &request);
}

static void attach_queue(const struct net *net, unsigned pair, bool attached)
{
	struct ifreq request = { .ifr_flags =
				     (short)(attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE) };

	if (net->is_tap && !net->is_lost && net->setup.pair_count > 1)
		(void)sys_ioctl(net->setup.fds[pair], TUNSETQUEUE, &request);
}

void net_set_pairs(struct net *net, unsigned count)
{
	unsigned before = net->active_pairs;

	for (unsigned pair = count; pair < before; pair++) {
		net_receive_stop(&net->receives[pair]);
		attach_queue(net, pair, false);
	}
	for (unsigned pair = before; pair < count; pair++)
		attach_queue(net, pair, true);
	net->active_pairs = count;
	for (unsigned pair = before; pair < count; pair++)
		net_receive_start(&net->receives[pair]);
}

/* ---- configuration, link ---- */

static uint16_t status_of(const struct net *net)
{
	return (uint16_t)((net->is_up ? VIRTIO_NET_S_LINK_UP : 0) |
			  (net->is_announcing ? VIRTIO_NET_S_ANNOUNCE : 0));
}

static void update_status(struct net *net)
{
	uint16_t status = status_of(net);

	virtio_config_update(&net->device, offsetof(struct net_config_space, status), &status,
			     sizeof status);
}

void net_set_mac(struct net *net, const uint8_t mac[VIRTIO_NET_MAC_SIZE])
{
	(void)pthread_mutex_lock(&net->device.config_lock);
	memcpy(net->device.config + offsetof(struct net_config_space, mac), mac,
	       VIRTIO_NET_MAC_SIZE);
	(void)pthread_mutex_unlock(&net->device.config_lock);
}

void net_announced(struct net *net)
{
	if (!net->is_announcing)
		return;
	net->is_announcing = false;
	update_status(net);
}

void virtio_net_set_link(struct virtio_device *device, bool up)
{
	struct net *net = net_of(device);

	if (net->is_lost || net->is_up == up)
		return;
	net->is_up = up;
	net->is_announcing = up && net_has(net, VIRTIO_NET_F_GUEST_ANNOUNCE);
	update_status(net);
	if (net->setup.is_vhost) {
		net_vhost_set_link(net, up);
		return;
	}
	for (unsigned pair = 0; pair < net->active_pairs; pair++)
		if (!up)
			net_receive_stop(&net->receives[pair]);
		else if (device->active)
			net_receive_start(&net->receives[pair]);
}

void net_lost(struct net *net, int error)
{
	if (net->is_lost)
		return;
	net->is_lost = true;
	net->is_up = net->is_announcing = false;
	log_warning("virtio-net: the host's end of the interface is gone (%s): the link is down",
		    error < 0 ? sys_text(error) : "closed");
	update_status(net);
}

/* ---- life ---- */

static int activate(struct virtio_device *device)
{
	struct net *net = net_of(device);

	net->is_mergeable = net_has(net, VIRTIO_NET_F_MRG_RXBUF);
	net_set_guest_offloads(net, device->driver_features);
	device->queues_here = UINT32_C(1) << control_queue(net);
	if (net->setup.is_vhost)
		return net_vhost_start(net);
	for (unsigned pair = 0; pair < net->active_pairs; pair++)
		net_receive_start(&net->receives[pair]);
	return 0;
}

static void notify(struct virtio_device *device, unsigned queue)
{
	struct net *net = net_of(device);

	if (queue == control_queue(net))
		net_control_notify(net, queue);
	else if (queue / 2 >= net->setup.pair_count)
		virtio_break(device, "a queue that is not used");
	else if (queue % 2)
		net_send_notify(&net->sends[queue / 2]);
	else
		net_receive_start(&net->receives[queue / 2]);
}

static void quiesce(struct virtio_device *device)
{
	struct net *net = net_of(device);

	if (net->setup.is_vhost)
		net_vhost_stop(net);
	net_limit_stop(&net->send_limit);
	net_limit_stop(&net->receive_limit);
	for (unsigned pair = 0; pair < net->setup.pair_count; pair++) {
		net_receive_quiesce(&net->receives[pair]);
		net_send_quiesce(&net->sends[pair]);
	}
	net_set_pairs(net, 1);
	net->is_announcing = false;
}

static void finish(struct net *net)
{
	for (unsigned pair = 0; pair < net->setup.pair_count; pair++) {
		net_receive_finish(&net->receives[pair]);
		net_send_finish(&net->sends[pair]);
	}
	net_stream_finish(net);
	net_vhost_finish(net);
	free(net);
}

static void destroy(struct virtio_device *device)
{
	struct net *net = net_of(device);

	for (unsigned pair = 0; pair < net->setup.pair_count; pair++)
		close_fd(&net->setup.fds[pair]);
	for (unsigned pair = 0; net->setup.is_vhost && pair < net->setup.pair_count; pair++)
		close_fd(&net->setup.vhost_fds[pair]);
	finish(net);
}

static const struct virtio_type type = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET,
	.queue_size = NET_QUEUE_SIZE,
	.activate = activate,
	.notify = notify,
	.quiesce = quiesce,
	.destroy = destroy,
};

static uint64_t features_of(const struct net *net, bool has_uso)
{
	uint64_t features = NET_BIT(VIRTIO_NET_F_MAC) | NET_BIT(VIRTIO_NET_F_STATUS) |
			    NET_BIT(VIRTIO_NET_F_MRG_RXBUF) | NET_BIT(VIRTIO_NET_F_CTRL_VQ) |
			    NET_BIT(VIRTIO_NET_F_CTRL_RX) | NET_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
			    NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
			    NET_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);

	if (!net->setup.is_stream)
		features |= NET_BIT(VIRTIO_NET_F_CSUM) | NET_BIT(VIRTIO_NET_F_HOST_TSO4) |
			    NET_BIT(VIRTIO_NET_F_HOST_TSO6) | NET_BIT(VIRTIO_NET_F_HOST_ECN) |
			    NET_BIT(VIRTIO_NET_F_GUEST_CSUM) | NET_BIT(VIRTIO_NET_F_GUEST_TSO4) |
			    NET_BIT(VIRTIO_NET_F_GUEST_TSO6) | NET_BIT(VIRTIO_NET_F_GUEST_ECN) |
			    NET_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);

	if (net->setup.mtu > 0)
		features |= NET_BIT(VIRTIO_NET_F_MTU);
	if (net->setup.pair_count > 1)
		features |= NET_BIT(VIRTIO_NET_F_MQ);
	if (has_uso)
		features |=
		    NET_BIT(NET_F_GUEST_USO4) | NET_BIT(NET_F_GUEST_USO6) | NET_BIT(NET_F_HOST_USO);
	return features;
}

/* A queue of a tap must give packets as the device needs them; anything else that is not a tap is
 * taken for a socket. */
static int prepare_fd(struct net *net, int fd)
{
	struct ifreq request = { 0 };
	int header = NET_HEADER, r;
	long flags = SYS(fcntl, fd, F_GETFL);

	if (flags < 0)
		return (int)flags;
	r = (int)SYS(fcntl, fd, F_SETFL, (int)flags | O_NONBLOCK);
	if (r < 0)
		return r;
	r = sys_ioctl(fd, TUNGETIFF, &request);
	if (net->setup.is_stream)
		return r == 0 ? -EINVAL : 0;
	if (r == -ENOTTY || r == -EINVAL || r == -EOPNOTSUPP)
		return net->is_tap ? -EINVAL : 0;
	if (r < 0)
		return r;
	net->is_tap = true;
	if (!(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_VNET_HDR) ||
	    !(request.ifr_flags & IFF_NO_PI))
		return -EINVAL;
	return sys_ioctl(fd, TUNSETVNETHDRSZ, &header);
}

static int prepare(struct net *net)
{
	unsigned pairs = net->setup.pair_count;
	const uint32_t uso = TUN_F_CSUM | NET_TUN_F_USO4 | NET_TUN_F_USO6;
	struct net_config_space space = { 0 };
	int r = 0;

	for (unsigned pair = 0; r == 0 && pair < pairs; pair++)
		r = prepare_fd(net, net->setup.fds[pair]);
	for (unsigned pair = 0; r == 0 && pair < pairs; pair++) {
		r = net_receive_init(&net->receives[pair], net, pair);
		if (r == 0)
			r = net_send_init(&net->sends[pair], net, pair);
	}
	if (r == 0 && net->setup.is_stream)
		r = net_stream_init(net);
	if (r == 0 && net->setup.is_vhost)
		r = net_vhost_init(net);
	if (r < 0)
		return r;
	net->type = type;
	net->type.queue_count = (uint16_t)(2 * pairs + 1);
	net->type.is_elsewhere = net->setup.is_vhost;
	virtio_device_init(&net->device, &net->type);
	net->device.features = features_of(net, net->is_tap && set_offloads(net, uso) == 0);
	net->is_up = true;
	net->active_pairs = pairs;
	net_set_pairs(net, 1);
	memcpy(space.mac, net->setup.mac, sizeof space.mac);
	space.status = status_of(net);
	space.max_pairs = (uint16_t)pairs;
	space.mtu = net->setup.mtu;
	memcpy(net->device.config, &space, sizeof space);
	net->device.config_size = sizeof space;
	return 0;
}

int virtio_net_create(const struct virtio_net_setup *config, struct virtio_device **out)
{
	struct net *net;
	int r;

	if (config->pair_count < 1 || config->pair_count > VIRTIO_NET_MAX_PAIRS ||
	    (config->is_stream && config->pair_count > 1))
		return -EINVAL;
	net = calloc(1, sizeof *net);
	if (!net)
		return -ENOMEM;
	net->setup = *config;
	net->vhost.error_fd = -EBADF;
	net_limit_init(net);
	r = prepare(net);
	if (r < 0) {
		finish(net);
		return r;
	}
	*out = &net->device;
	return 0;
}

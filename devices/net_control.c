/* The control queue (virtio 1.3 section 5.1.6.5). Each command is copied, judged and answered at
 * once. A tap gives its guest everything, so filters are accepted and need nothing done: what a
 * device filters is best effort. */
#include "devices/net_private.h"

enum { COMMANDS_PER_TURN = 64 };

static bool set_receive_mode(struct net *net, uint8_t command)
{
	uint8_t on;

	return command <= VIRTIO_NET_CTRL_RX_NOBCAST && chain_get(&net->command, &on) &&
	       chain_readable(&net->command) == 0;
}

/* Two lists of addresses, each behind its length. */
static bool set_mac_table(struct net *net)
{
	uint8_t mac[VIRTIO_NET_MAC_SIZE];
	uint32_t count;

	for (int list = 0; list < 2; list++) {
		if (!chain_get(&net->command, &count) ||
		    count > chain_readable(&net->command) / sizeof mac)
			return false;
		net->command.read_position += count * sizeof mac;
	}
	return chain_readable(&net->command) == 0;
}

static bool set_mac(struct net *net, uint8_t command)
{
	uint8_t mac[VIRTIO_NET_MAC_SIZE];

	if (command == VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return set_mac_table(net);
	if (command != VIRTIO_NET_CTRL_MAC_ADDR_SET ||
	    chain_readable(&net->command) != sizeof mac || !chain_get(&net->command, &mac))
		return false;
	net_set_mac(net, mac);
	return true;
}

static bool set_pairs(struct net *net, uint8_t command)
{
	uint16_t count;

	if (command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !net_has(net, VIRTIO_NET_F_MQ) ||
	    chain_readable(&net->command) != sizeof count || !chain_get(&net->command, &count) ||
	    count < 1 || count > net->setup.pair_count)
		return false;
	net_set_pairs(net, count);
	return true;
}

static bool set_offloads(struct net *net, uint8_t command)
{
	uint64_t wanted;

	if (command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    !net_has(net, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    chain_readable(&net->command) != sizeof wanted || !chain_get(&net->command, &wanted) ||
	    (wanted & ~(net->device.driver_features & NET_GUEST_OFFLOADS)))
		return false;
	net_set_guest_offloads(net, wanted);
	return true;
}

static bool obey(struct net *net)
{
	struct virtio_net_ctrl_hdr header;

	if (!chain_get(&net->command, &header))
		return false;
	switch (header.class) {
	case VIRTIO_NET_CTRL_RX:
		return set_receive_mode(net, header.cmd);
	case VIRTIO_NET_CTRL_MAC:
		return set_mac(net, header.cmd);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		if (header.cmd != VIRTIO_NET_CTRL_ANNOUNCE_ACK)
			return false;
		net_announced(net);
		return true;
	case VIRTIO_NET_CTRL_MQ:
		return set_pairs(net, header.cmd);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return set_offloads(net, header.cmd);
	default:
		return false;
	}
}

void net_control_notify(struct net *net, unsigned queue)
{
	struct virtio_device *device = &net->device;

	for (unsigned i = 0; virtio_pop(device, queue, &net->command); i++) {
		uint8_t answer = obey(net) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;

		(void)chain_put(&net->command, &answer);
		virtqueue_push(&device->queues[queue], &net->command);
		if (i == COMMANDS_PER_TURN) {
			virtio_again(device, queue);
			break;
		}
	}
	virtio_complete(device, queue);
}

/*
 * Packets from the guest. A packet is judged when it is popped: its header is copied and checked,
 * the rest becomes segments of guest memory, and a writev to the tap is submitted to the loop; all
 * that one turn finds go to the kernel together. The tap takes a packet or fails at once, so the
 * order is kept.
 *
 * The driver is silenced from its first kick until nothing is on its way and its queue is empty.
 */
#include "base/container_of.h"
#include "base/own.h"
#include "devices/net_private.h"

#include <string.h>

static void after(struct io_deferred *deferred);

int net_send_init(struct net_send *send, struct net *net, unsigned pair)
{
	send->net = net;
	send->fd = net->setup.fds[pair];
	send->queue = 2 * pair + 1;
	send->after.run = after;
	send->slots = calloc(SEND_SLOTS, sizeof *send->slots);
	return send->slots ? 0 : -ENOMEM;
}

void net_send_finish(struct net_send *send)
{
	free(send->slots);
}

static struct send_slot *take_slot(struct net_send *send)
{
	struct send_slot *slot;

	if (send->free_count > 0) {
		slot = &send->slots[send->free[--send->free_count]];
	} else {
		slot = &send->slots[send->used_mark++];
		slot->send = send;
	}
	send->busy_count++;
	return slot;
}

static void give_slot(struct net_send *send, struct send_slot *slot)
{
	send->free[send->free_count++] = (uint16_t)(slot - send->slots);
	send->busy_count--;
}

/* The kinds of packet the driver has agreed to send (5.1.6.2). The copy is what the tap gets, so
 * the host's kernel is never shown a kind of packet that was not offered. */
static bool header_is_allowed(const struct net *net, struct virtio_net_hdr_v1 *header)
{
	header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->num_buffers = 0;
	if (header->flags && !net_has(net, VIRTIO_NET_F_CSUM))
		return false;
	if ((header->gso_type & VIRTIO_NET_HDR_GSO_ECN) && !net_has(net, VIRTIO_NET_F_HOST_ECN))
		return false;
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return header->gso_type == VIRTIO_NET_HDR_GSO_NONE;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return net_has(net, VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return net_has(net, VIRTIO_NET_F_HOST_TSO6);
	case NET_GSO_UDP_L4:
		return net_has(net, NET_F_HOST_USO);
	default:
		return false;
	}
}

static void give_back(struct net_send *send, struct send_slot *slot)
{
	virtqueue_push_head(&send->net->device.queues[send->queue], slot->head, 0);
	give_slot(send, slot);
}

void net_send_done(struct send_slot *slot)
{
	give_back(slot->send, slot);
	io_defer(slot->send->net->device.io, &slot->send->after);
}

/* A packet the tap refuses is lost, as on any wire; a tap that is gone takes none any more. */
static void sent(struct io_op *op, int result)
{
	struct send_slot *slot = (struct send_slot *)(void *)op;
	struct net_send *send = slot->send;

	if (result == -EBADFD || result == -EPIPE || result == -ENODEV || result == -ECONNRESET)
		net_lost(send->net, result);
	net_send_done(slot);
}

/* False: the guest broke the rules. */
static bool send_chain(struct net_send *send)
{
	struct net *net = send->net;
	struct chain *chain = &net->chain;
	size_t size = chain_readable(chain), covered;
	struct send_slot *slot;

	if (chain->writable_count > 0 || size <= NET_HEADER || size > NET_MAX_PACKET)
		return false;
	slot = take_slot(send);
	slot->head = chain->head;
	(void)chain_get(chain, &slot->header);
	if (!header_is_allowed(net, &slot->header)) {
		give_slot(send, slot);
		return false;
	}
	slot->segments[0] =
	    (struct iovec){ .iov_base = &slot->header, .iov_len = sizeof slot->header };
	slot->first = 0;
	slot->count =
	    1 + chain_peek_readable(chain, size, slot->segments + 1, CHAIN_MAX_SEGMENTS, &covered);
	if (!net->is_up || send->queue / 2 >= net->active_pairs) {
		give_back(send, slot);
		return true;
	}
	net->device.stats[send->queue].from_guest += size - NET_HEADER;
	if (net->setup.is_stream)
		net_stream_send(net, slot, size - NET_HEADER);
	else
		io_writev(net->device.io, &slot->op, send->fd, slot->segments, slot->count, sent);
	return true;
}

static size_t packet_size(const struct chain *chain)
{
	size_t size = chain_readable(chain);

	return size > NET_HEADER ? size - NET_HEADER : 0;
}

/* Takes as many as there are slots. What is beyond waits until some have left, or, where nothing is
 * on its way, for a later turn. */
static void send_chains(struct net_send *send)
{
	struct virtio_device *device = &send->net->device;
	struct virtqueue *queue = &device->queues[send->queue];
	bool has_looked_again = false;
	struct net_limit *limit = &send->net->send_limit;
	unsigned taken = 0;
	int r = 1;

	while (taken < SEND_SLOTS && send->busy_count < SEND_SLOTS && !net_limit_waits(limit)) {
		r = virtqueue_pop(queue, &send->net->chain);
		if (r == 0 && send->busy_count == 0 && !has_looked_again &&
		    virtqueue_enable_kicks(queue)) {
			has_looked_again = true;
			continue;
		}
		if (r <= 0)
			break;
		if (!net_limit_take(limit, packet_size(&send->net->chain))) {
			virtqueue_unpop(queue, &send->net->chain);
			break;
		}
		if (!send_chain(send)) {
			virtio_break(device, "a packet that cannot be one");
			return;
		}
		taken++;
	}
	if (r < 0)
		virtio_break(device, "bad descriptors");
	else if (r > 0 && send->busy_count == 0 && !net_limit_waits(limit))
		virtio_again(device, send->queue);
	virtio_complete(device, send->queue);
}

/* At the end of a turn in which packets left: room for others. */
static void after(struct io_deferred *deferred)
{
	struct net_send *send = container_of(deferred, struct net_send, after);

	if (send->net->device.queues[send->queue].broken)
		return;
	virtio_complete(&send->net->device, send->queue);
	send_chains(send);
}

void net_send_notify(struct net_send *send)
{
	send_chains(send);
}

void net_send_quiesce(struct net_send *send)
{
	if (send->net->setup.is_stream)
		net_stream_quiesce(send->net);
	for (unsigned i = 0; i < send->used_mark; i++)
		(void)io_cancel_wait(&send->slots[i].op);
	io_defer_cancel(send->net->device.io, &send->after);
	send->used_mark = send->free_count = send->busy_count = 0;
}

#pragma once
#include "devices/rate_limit.h"
#include "devices/virtio.h"

/*
 * A network interface (virtio 1.3 section 5.1) on a tap, or on any descriptor that gives and takes
 * one packet a call, each behind a virtio_net_hdr of 12 bytes: a packet socket in tests.
 */
enum { VIRTIO_NET_MAX_PAIRS = 4, VIRTIO_NET_MAC_SIZE = 6 };

struct virtio_net_setup {
	unsigned pair_count; /* queue pairs, 1..VIRTIO_NET_MAX_PAIRS; with more than one, the
				driver is told of them */
	/* One for each pair: queues of one tap, opened with IFF_NO_PI and IFF_VNET_HDR (and
	 * IFF_MULTI_QUEUE). Ownership passes on success. They are made O_NONBLOCK. */
	int fds[VIRTIO_NET_MAX_PAIRS];
	uint8_t mac[VIRTIO_NET_MAC_SIZE];
	uint16_t mtu; /* told to the driver; 0: nothing is */
	/* The one descriptor is a stream socket with frames, each behind its length in four bytes,
	 * the highest first, and without packet headers: passt's. There are no offloads then. */
	bool is_stream;
	/* The host's kernel moves the packets: each pair's descriptor of /dev/vhost-net, of which
	 * ownership passes on success. On taps only, and without limits. */
	bool is_vhost;
	int vhost_fds[VIRTIO_NET_MAX_PAIRS];
	/* A packet is one operation, and its bytes are counted without its packet header. Segments
	 * that the host's kernel is to cut up are one packet. For all pairs together. */
	struct rate_limit_config send_limit, receive_limit; /* send: what the guest sends */
};

/* -EINVAL: no tap with packet headers, several pairs on a stream, vhost with what it cannot do.
 * -EOPNOTSUPP: this kernel's vhost-net does less than is needed. Offloads are those the host's
 * tap knows; the driver chooses among them. */
int virtio_net_create(const struct virtio_net_setup *config, struct virtio_device **out);

/* On the device thread, or before the loop runs. Tells the driver that the cable is in or out;
 * while it is out, nothing is received and what the guest sends is dropped. With the cable back the
 * driver is asked to announce itself (5.1.6.5.4). */
void virtio_net_set_link(struct virtio_device *device, bool up);

/* On the device thread: guest memory has grown. */
void virtio_net_memory_changed(struct virtio_device *device);

/* On the device thread; not with vhost. */
void virtio_net_set_limits(struct virtio_device *device, const struct rate_limit_config *send,
			   const struct rate_limit_config *receive);

#pragma once
/* Shared by the files of the network device; nobody else includes it.
 *   virtio_net.c   the device: features, life, link state
 *   net_send.c     packets from the guest
 *   net_receive.c  packets to the guest
 *   net_stream.c   frames on a stream socket, in place of a tap's packets
 *   net_control.c  the control queue
 *   net_limit.c    rate limits
 *   net_vhost.c    vhost-net, in the place of net_send.c and net_receive.c */
#include "devices/hostfd.h"
#include "devices/io.h"
#include "devices/virtio_net.h"
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>

enum {
	NET_QUEUE_SIZE = 256,
	NET_HEADER = 12, /* of each packet, both ways, since VIRTIO_F_VERSION_1 (5.1.6) */
	/* The largest packet: 64 KiB of IP behind an Ethernet header with two VLAN tags. */
	NET_MAX_PACKET = NET_HEADER + 65535 + 14 + 8,
	SEND_SLOTS = 64,                  /* packets that one queue may have on their way */
	RECEIVE_SEGMENTS = 512,           /* of the buffers taken from the guest */
	RECEIVE_BURST = 32,               /* packets in one go, before others have their turn */
	STREAM_LENGTH = 4,                /* before each frame */
	STREAM_SIZE = 2 * NET_MAX_PACKET, /* of the buffer for what comes */
	STREAM_SEGMENTS = 256,            /* of one write */
};

/* Younger than the kernel headers of Debian 12. */
enum { NET_F_GUEST_USO4 = 54, NET_F_GUEST_USO6 = 55, NET_F_HOST_USO = 56 };
enum { NET_TUN_F_USO4 = 0x20, NET_TUN_F_USO6 = 0x40, NET_GSO_UDP_L4 = 5 };

#define NET_BIT(feature) (UINT64_C(1) << (feature))
#define NET_GUEST_OFFLOADS                                                                         \
	(NET_BIT(VIRTIO_NET_F_GUEST_CSUM) | NET_BIT(VIRTIO_NET_F_GUEST_TSO4) |                     \
	 NET_BIT(VIRTIO_NET_F_GUEST_TSO6) | NET_BIT(VIRTIO_NET_F_GUEST_ECN) |                      \
	 NET_BIT(NET_F_GUEST_USO4) | NET_BIT(NET_F_GUEST_USO6))

struct net_config_space { /* 5.1.4 */
	uint8_t mac[VIRTIO_NET_MAC_SIZE];
	uint16_t status, max_pairs, mtu;
};

struct net;

struct send_slot {
	struct io_op op; /* first: the loop gives it back */
	struct net_send *send;
	uint16_t head;
	unsigned first, count;           /* of segments: those not yet written */
	bool written;                    /* a part of it: a stream must have the rest, too */
	uint8_t length[STREAM_LENGTH];   /* of a stream's frame, in place of a header */
	struct virtio_net_hdr_v1 header; /* our copy, judged */
	struct iovec segments[1 + CHAIN_MAX_SEGMENTS]; /* one of these, then guest memory */
};

struct net_send {
	struct net *net;
	int fd;
	unsigned queue;
	unsigned busy_count, used_mark, free_count;
	struct io_deferred after;
	uint16_t free[SEND_SLOTS];
	struct send_slot *slots; /* memory is touched only as deep as the queue was ever used */
};

struct receive_buffer { /* one chain of the guest's, taken and not yet filled */
	uint16_t head, segment_count;
	uint32_t size;
};

struct net_receive {
	struct io_op op;
	struct net *net;
	int fd;
	unsigned queue;
	struct io_deferred after;
	/* Buffers in the order in which they will be filled, and their segments. */
	unsigned buffer_first, buffer_count, segment_first, segment_count;
	enum hostfd_kind kind;
	size_t capacity;   /* bytes they hold */
	size_t wanted;     /* bytes worth offering, from what came lately */
	size_t packet;     /* a packet that has been read and not given yet; 0: none */
	bool is_paid;      /* it may be given, says the rate limit */
	size_t spilled_at; /* where in it `rest` begins */
	const uint8_t *rest;
	struct receive_buffer buffers[NET_QUEUE_SIZE];
	struct iovec segments[RECEIVE_SEGMENTS + 1]; /* one more for the spill */
	uint8_t *spill; /* NET_MAX_PACKET bytes; touched only by packets larger than foreseen */
};

/* Slots that wait are a ring, oldest first. */
struct net_stream {
	struct io_op output, input;
	struct io_deferred start_output;
	struct net *net;
	unsigned slot_first, slot_count;
	struct send_slot *waiting[SEND_SLOTS];
	size_t owed; /* bytes of a frame that a reset has cut off: zeroes are sent for them */
	struct iovec segments[STREAM_SEGMENTS];
	size_t start, end; /* of what has come and is not yet the guest's, in buffer */
	uint8_t *buffer;   /* STREAM_SIZE */
};

struct net_limit {
	struct rate_limit limit;
	struct io_op timer; /* busy: nothing goes until it is done */
	struct net *net;
};

struct net_vhost {
	struct io_op timer, error;
	int error_fd; /* the kernel signals it when the guest breaks the rules */
};

struct net {
	struct virtio_device device; /* first: the transport gives it back */
	struct virtio_type type;     /* how many queues differs */
	struct virtio_net_setup setup;
	bool is_tap, is_lost; /* lost: the descriptors are of no use any more */
	bool is_up;           /* the link */
	bool is_announcing;   /* the driver was asked to */
	bool is_mergeable;
	unsigned active_pairs;
	struct chain chain, command; /* the packet, the command being looked at */
	struct net_limit send_limit, receive_limit;
	struct net_stream stream; /* with setup.is_stream */
	struct net_vhost vhost;   /* with setup.is_vhost */
	struct net_send sends[VIRTIO_NET_MAX_PAIRS];
	struct net_receive receives[VIRTIO_NET_MAX_PAIRS];
};

static inline struct net *net_of(struct virtio_device *device)
{
	return (struct net *)(void *)device;
}

static inline bool net_has(const struct net *net, unsigned feature)
{
	return net->device.driver_features >> feature & 1;
}

/* ---- virtio_net.c ---- */

/* The descriptor answered with an error that will not go away: the link is down from now on. */
void net_lost(struct net *net, int error);
/* Packets the driver takes from now on; bits as VIRTIO_NET_F_GUEST_... */
void net_set_guest_offloads(struct net *net, uint64_t features);
void net_set_mac(struct net *net, const uint8_t mac[VIRTIO_NET_MAC_SIZE]);
/* The driver has announced itself. */
void net_announced(struct net *net);
/* Pairs 0..count-1 work, the others do nothing. */
void net_set_pairs(struct net *net, unsigned count);

/* 0, or why the host's interface is not there any more. */
int net_tap_is_there(const struct net *net);

/* ---- net_vhost.c ---- */

int net_vhost_init(struct net *net);
void net_vhost_finish(struct net *net);
/* At DRIVER_OK: packets flow, if the link is up. */
int net_vhost_start(struct net *net);
/* Nothing of the guest's memory is in use any more. */
void net_vhost_stop(struct net *net);
void net_vhost_set_link(struct net *net, bool up);

/* ---- net_send.c ---- */

int net_send_init(struct net_send *send, struct net *net, unsigned pair);
void net_send_finish(struct net_send *send);
void net_send_notify(struct net_send *send);
/* A stream has written, or dropped, the slot's packet. */
void net_send_done(struct send_slot *slot);
/* Every packet on its way has left or is dropped. */
void net_send_quiesce(struct net_send *send);

/* ---- net_receive.c ---- */

int net_receive_init(struct net_receive *receive, struct net *net, unsigned pair);
void net_receive_finish(struct net_receive *receive);
/* Goes on, if there is something to go on with. */
void net_receive_start(struct net_receive *receive);
/* A whole packet, to be copied from `bytes`, which stay until it is given. False: it waits for
 * buffers, and net_stream_read goes on when there are some. */
bool net_receive_copy(struct net_receive *receive, const uint8_t *bytes, size_t size);
/* Nothing is read any more; buffers stay taken. */
void net_receive_stop(struct net_receive *receive);
/* And no buffer is left. */
void net_receive_quiesce(struct net_receive *receive);

/* ---- net_stream.c ---- */

int net_stream_init(struct net *net);
void net_stream_finish(struct net *net);
/* The slot's header gives way to the frame's length; the frame waits for its turn. */
void net_stream_send(struct net *net, struct send_slot *slot, size_t size);
/* Frames that have come are the guest's, and more are read. */
void net_stream_read(struct net *net);
void net_stream_stop_reading(struct net *net);
/* No frame waits any more, and none of the guest's memory is in use. */
void net_stream_quiesce(struct net *net);

/* ---- net_limit.c ---- */

void net_limit_init(struct net *net);
/* True: the packet may go, and is paid for. False: not now; its queue is asked again when it is
 * worth trying. */
bool net_limit_take(struct net_limit *limit, size_t bytes);
bool net_limit_waits(const struct net_limit *limit);
/* Nothing is asked any more. What was taken stays taken, or a guest would only have to reset. */
void net_limit_stop(struct net_limit *limit);

/* ---- net_control.c ---- */

void net_control_notify(struct net *net, unsigned queue);

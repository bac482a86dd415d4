#pragma once
#include "devices/virtio.h"

/*
 * Sockets between guest and host (virtio 1.3 section 5.10) without the host's vhost: each stream is
 * joined to a descriptor of this process. The host's context id is 2.
 *
 * Bytes go straight between guest memory and the descriptor where it does not block, else through
 * a buffer of at most buffer_size per stream and direction. The credit told to the guest is that
 * buffer, so a slow reader stops the guest's writer and costs no more memory.
 */
enum { VSOCK_HOST_CID = 2, VSOCK_DEFAULT_BUFFER = 256 * 1024, VSOCK_DEFAULT_STREAMS = 1024 };

/* How a stream is joined to its descriptor, seen from the guest. */
enum vsock_mode {
	VSOCK_READ,  /* the guest reads what the descriptor gives */
	VSOCK_WRITE, /* what the guest writes goes to the descriptor */
	VSOCK_BOTH,  /* a socket */
};

struct virtio_vsock_config {
	uint64_t guest_cid;
	unsigned max_streams; /* 0: VSOCK_DEFAULT_STREAMS; refused beyond */
	uint32_t buffer_size; /* 0: VSOCK_DEFAULT_BUFFER */
	/* Called on the device thread, for bound ports only; may bind and listen. */
	void (*connected)(void *context, uint32_t port);
	/* The stream is over in both directions and every byte the guest sent was written, or
	 * write_error (-errno) says why not. -ECONNRESET: the guest went away before it said that
	 * it had sent all. */
	void (*closed)(void *context, uint32_t port, int write_error);
	/* After virtio_vsock_end: the last stream is over. Once, from the loop. May be NULL. */
	void (*ended)(void *context);
	void *context;
};

int virtio_vsock_create(const struct virtio_vsock_config *config, struct virtio_device **out);

/* The following: on the device thread or before the loop runs, `device` from virtio_vsock_create,
 * also after it was given to a transport. */

/* The guest's next connection to (host, port) is joined to `fd`, once. Ownership of fd passes on
 * success. -EEXIST: bound and not yet used. -ENOSPC: too many ports are bound. */
int virtio_vsock_bind(struct virtio_device *device, uint32_t port, int fd, enum vsock_mode mode);

/* Every connection accepted on the socket listen_fd becomes a connection to (guest, guest_port).
 * Ownership of listen_fd passes on success. -ENOSPC: too many listeners. */
int virtio_vsock_listen(struct virtio_device *device, int listen_fd, uint32_t guest_port);

/* The guest runs no more: takes what it has already sent and ends every stream. `closed` is called
 * for each as soon as its bytes are written, and then `ended`; how long that takes is up to the
 * readers. */
void virtio_vsock_end(struct virtio_device *device);

/* Something that the guest has sent on a VSOCK_WRITE stream is held, because its reader is slow. */
bool virtio_vsock_is_writing(const struct virtio_device *device);

/* Tells the driver that all connections are gone, after a snapshot was restored (5.10.6.7). */
void virtio_vsock_transport_reset(struct virtio_device *device);

#pragma once
#include "base/log.h"
#include "devices/virtqueue.h"
#include <pthread.h>

/*
 * What every device is to its transport. The transport (virtio_mmio.h) owns the life of a device:
 * it negotiates, opens the queues, and runs the verbs, all of them on the device thread. A device
 * embeds struct virtio_device as its first member.
 */
enum { VIRTIO_MAX_QUEUES = 9, VIRTIO_MAX_CONFIG = 64 };

struct io;
struct virtio_device;

/* Since the device was made: a reset clears nothing. Counted on the device thread. */
struct virtio_queue_stats {
	uint64_t kicks;      /* times the device was woken: several kicks may be one */
	uint64_t chains;     /* given back to the driver */
	uint64_t to_guest;   /* bytes; counted by the device, data only */
	uint64_t from_guest; /* bytes */
	uint64_t interrupts; /* sent */
	uint64_t merged;     /* not sent: the one before was not acknowledged yet */
	uint64_t unwanted;   /* not sent: the driver had not asked for it */
};

struct virtio_type {
	const char *name;
	uint32_t id;
	uint16_t queue_count;
	uint16_t queue_size; /* the most a driver may use */
	bool is_elsewhere;   /* another process, or the host's kernel, has kicks, queues and
				interrupt once activated */
	/* None of the verbs may block, except quiesce for a disk. NULL where a device has nothing
	 * to do, but notify. */
	int (*activate)(
	    struct virtio_device *device); /* DRIVER_OK; queues are open; -errno: reset */
	void (*notify)(struct virtio_device *device, unsigned queue); /* chains are waiting */
	void (*quiesce)(struct virtio_device *device); /* no chain and no guest memory in use on
							  return; the queues are gone after it */
	void (*config_written)(struct virtio_device *device, size_t offset, size_t size);
	/* for statistics, where the queues are elsewhere: what is known of them there */
	void (*look)(const struct virtio_device *device, unsigned queue,
		     struct virtio_queue_stats *stats, struct virtqueue_view *view);
	void (*destroy)(struct virtio_device *device); /* frees it; already quiesced */
};

struct virtio_device {
	const struct virtio_type *type;
	uint64_t features; /* offered, beside those of the transport; set by the device's create */
	size_t config_size;
	uint8_t config[VIRTIO_MAX_CONFIG]; /* under config_lock once the guest runs */
	bool (*config_writable)(size_t offset, size_t size); /* NULL: nothing is */

	/* set by the transport */
	const struct gmem *mem;
	struct io *io;
	int irq_fd;
	int kick_fds[VIRTIO_MAX_QUEUES];
	uint64_t driver_features; /* accepted, frozen while active */
	bool active;              /* between activate and quiesce */
	struct virtqueue queues[VIRTIO_MAX_QUEUES];
	struct virtqueue_layout layouts[VIRTIO_MAX_QUEUES]; /* as the driver set them up */
	uint32_t queues_here; /* with is_elsewhere: those that are ours all the same, a bit each;
				 set by activate */
	uint32_t interrupt_status;  /* atomic: vCPU threads read and acknowledge it */
	uint32_t needs_reset;       /* atomic: the guest broke the rules */
	uint32_t config_generation; /* atomic */
	pthread_mutex_t config_lock;
	struct log_limit limit;
	struct virtio_queue_stats stats[VIRTIO_MAX_QUEUES];
	uint64_t delayed; /* requests that had to wait for a rate limit; counted by the device */
	uint64_t acknowledged; /* atomic: writes to the acknowledgement register */
};

/* For a device's create: fills in the parts the transport relies on. */
void virtio_device_init(struct virtio_device *device, const struct virtio_type *type);
/* Destroys any device. Not for one a transport has taken. Accepts NULL. */
void virtio_device_destroy(struct virtio_device *device);

/* ---- for devices, on the device thread ---- */

/* Shows the driver what was pushed and interrupts it if it wants to know. */
void virtio_complete(struct virtio_device *device, unsigned queue);
/* The guest broke the rules: the device does nothing more until the driver resets it. */
void virtio_break(struct virtio_device *device, const char *why);
/* virtqueue_pop, with virtio_break for a broken queue. False: nothing to do, and the driver will
 * kick when there is. */
bool virtio_pop(struct virtio_device *device, unsigned queue, struct chain *chain);
/* notify again in a later turn: a device that has done its share for now. */
void virtio_again(struct virtio_device *device, unsigned queue);
/* Changes the configuration and tells the driver. */
void virtio_config_update(struct virtio_device *device, size_t offset, const void *from,
			  size_t size);

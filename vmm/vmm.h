#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The runtime's side of a sandbox's VMM process: start it, hand it descriptors, hear how it ends.
 * The process opens nothing by path, so everything it will ever touch is in struct vmm_config or
 * comes later through vmm_bind_port and vmm_listen_port. Every descriptor given here is borrowed:
 * the VMM process receives a duplicate, the caller keeps and closes its own.
 * Not thread-safe: one thread owns a struct vmm. Nothing here blocks unless it says so.
 */
enum {
	VMM_MAX_DISKS = 24,
	VMM_MAX_SPARES = 8,
	VMM_MAX_VCPUS = 32,
	VMM_CMDLINE_SIZE = 1024,
	VMM_SERIAL_SIZE = 20, /* virtio 1.3 section 5.2.6: not terminated when full */
	VMM_GUEST_CID = 3,
	VMM_MAX_NETS = 8,
	VMM_MAX_NET_PAIRS = 4,
	VMM_MAC_SIZE = 6,
	VMM_MAX_SHARES = 16,
	VMM_MAX_MEMORY_MIB = 4 << 20,
	VMM_TAG_SIZE = 36, /* virtio 1.3 section 5.11.4: not terminated when full */
	VMM_SHARE_NAME_SIZE = 256,
};

/* How much of a device the guest may use each second, and what it may save up; a rate of 0 is no
 * limit, a burst of 0 is a tenth of a second's worth. */
struct vmm_rate {
	uint64_t bytes, bytes_burst, operations, operations_burst;
};

struct vmm_disk {
	int fd; /* a regular file or a block device, raw; may have been opened with O_DIRECT, then
		   its size is a multiple of its blocks */
	bool read_only;
	struct vmm_rate rate;
	char serial[VMM_SERIAL_SIZE]; /* how the guest finds it: /sys/block/vdX/serial */
};

struct vmm_net {             /* a network interface of the guest; in the guest's order */
	unsigned pair_count; /* queue pairs, 1..VMM_MAX_NET_PAIRS */
	/* One for each pair: queues of one tap, opened with IFF_NO_PI, IFF_VNET_HDR and, where
	 * there are several, IFF_MULTI_QUEUE. The VMM makes them O_NONBLOCK. */
	int fds[VMM_MAX_NET_PAIRS];
	uint8_t mac[VMM_MAC_SIZE]; /* the guest's side */
	uint16_t mtu;              /* told to the guest; 0: nothing is */
	bool stream; /* the one descriptor is a stream socket with frames, each behind its length in
			four bytes: passt's */
	struct vmm_rate send_rate, receive_rate; /* of packets; send: what the guest sends */
	bool vhost; /* the host's kernel moves the packets (/dev/vhost-net): of a tap, without
		       rates */
	int vhost_fds[VMM_MAX_NET_PAIRS]; /* set by vmm_start */
};

enum vmm_cache {
	VMM_CACHE_AUTO,   /* what the host changes is seen by the guest's next look */
	VMM_CACHE_ALWAYS, /* only the guest changes it */
	VMM_CACHE_NEVER,  /* nothing is kept in the guest */
};

/* A folder or one file of the host, mounted in the guest as file system "virtiofs" by its tag. All
 * shares of a VM are served by a process of their own, katavm-fs; where there are any, RAM is in a
 * memfd that this process maps as well. When it ends, so does the VM. */
struct vmm_share {
	int fd; /* O_PATH does */
	bool read_only;
	enum vmm_cache cache;
	bool notify; /* inotify in the guest tells of what others change; not with CACHE_ALWAYS */
	char tag[VMM_TAG_SIZE];
	char file_name[VMM_SHARE_NAME_SIZE]; /* of a file: what it is called in the share */
};

struct vmm_config {
	unsigned vcpu_count;     /* 1..VMM_MAX_VCPUS */
	uint64_t memory_mib;     /* 32..VMM_MAX_MEMORY_MIB */
	uint64_t memory_max_mib; /* what vmm_set_memory may give, at most VMM_MAX_MEMORY_MIB; less
				    than memory_mib: no more */
	bool huge_pages;         /* RAM in 2 MiB pages of the host's reserve */
	bool shared_memory;      /* RAM in a sealed memfd that other processes can map */
	int kernel_fd;           /* ELF vmlinux */
	int initramfs_fd;        /* cpio, or -1 */
	int console_fd; /* kernel messages are written here; -1: the guest has no console */
	char cmdline[VMM_CMDLINE_SIZE]; /* added behind katavm's own kernel parameters */
	size_t disk_count;
	struct vmm_disk disks[VMM_MAX_DISKS];
	unsigned
	    spare_slots; /* disks that vmm_add_disk can add; each costs the guest's boot a look */
	size_t net_count;
	struct vmm_net nets[VMM_MAX_NETS];
	size_t share_count;
	struct vmm_share shares[VMM_MAX_SHARES];
	int share_socket; /* set by vmm_start: the way to the shares' server */
};

enum vmm_end { /* why the VM is no more; its process stays for vmm_dump_log until vmm_destroy */
	       VMM_END_SHUTDOWN, /* the guest powered off */
	       VMM_END_REBOOT,
	       VMM_END_PANIC,
	       VMM_END_TRIPLE_FAULT,
	       VMM_END_ASKED,  /* vmm_end_guest */
	       VMM_END_ERROR,  /* the VMM could not go on: text says at what */
	       VMM_END_KILLED, /* the process died without a word: text names the signal or status
				*/
};

enum vmm_event_kind {
	VMM_EVENT_CONNECTED, /* the guest connected to a bound port */
	VMM_EVENT_CLOSED, /* that stream is over in both directions: every byte the guest sent has
			     been written to the descriptor (or written_error says why not) */
	VMM_EVENT_ENDED,  /* the VM has ended; the last event */
	VMM_EVENT_DISK,   /* what was asked about a disk, and given up with -ETIMEDOUT, is
			     answered now */
};

enum vmm_disk_change {
	VMM_DISK_ADDED,
	VMM_DISK_REMOVED,
	VMM_DISK_RESIZED,
};

struct vmm_event {
	enum vmm_event_kind kind;
	uint32_t port;     /* CONNECTED, CLOSED */
	int written_error; /* CLOSED: 0 or -errno of the write that failed (reader gone: -EPIPE) */
	enum vmm_end end;  /* ENDED */
	char text[200];    /* ENDED: one sentence for the user */
	uint64_t time_ns;  /* host CLOCK_MONOTONIC when it happened */
	uint64_t entered_ns; /* CONNECTED: host CLOCK_MONOTONIC just before the first KVM_RUN */
	uint64_t exits;      /* CONNECTED: user-space exits of all vCPUs until now */
	uint64_t memory_kib; /* CONNECTED: guest memory allocated on the host until now */
	enum vmm_disk_change change;  /* DISK: what was asked for */
	char serial[VMM_SERIAL_SIZE]; /* DISK */
	int code;                     /* DISK: 0, or -errno: it was not done */
	uint64_t value;               /* DISK: the slot it is in; bytes it has */
};

/* How a port's stream is joined to a descriptor. Seen from the guest. */
enum vmm_stream {
	VMM_STREAM_READ,  /* the guest reads what the descriptor gives (stdin) */
	VMM_STREAM_WRITE, /* what the guest writes goes to the descriptor (stdout) */
	VMM_STREAM_BOTH,  /* a socket: control connection */
};

/* What a device of the VM has done since the start, and where its queues stand. Counters only grow.
 * The guest sets much of it and may have taken the VMM over: numbers to show, to be relied on for
 * nothing. */
enum { VMM_STATS_QUEUES = 32, VMM_DEVICE_NAME_SIZE = 32 };

struct vmm_queue_stats {
	uint64_t kicks;                /* times the device was woken; several kicks may be one */
	uint64_t requests;             /* given back to the guest */
	uint64_t to_guest, from_guest; /* bytes of data; 0 where the device does not count them */
	uint64_t interrupts;           /* sent */
	uint64_t merged, unwanted;     /* not sent: the last was not acknowledged; not asked for */
	uint16_t size;                 /* 0: the guest has not set it up */
	uint16_t ring_avail, next_avail;  /* what the guest offers; what was taken */
	uint16_t ring_used, next_used;    /* what the guest sees as done; what is done */
	uint16_t avail_event, used_event; /* when kicks and interrupts are wanted next */
	uint16_t ring_flags, in_flight;
	uint8_t broken, watching, event_index; /* 0 or 1; watching: the loop listens for kicks */
};

struct vmm_device_stats {
	char name[VMM_DEVICE_NAME_SIZE]; /* virtio-blk; terminated */
	char serial[VMM_SERIAL_SIZE];    /* of a disk, or a share's tag; not terminated when full */
	uint64_t acknowledged;           /* interrupts, by the guest */
	uint64_t delayed;                /* requests that waited for a rate limit */
	uint32_t slot;                   /* number of its virtio-mmio window */
	uint32_t interrupt_status;       /* still set: sent, and not acknowledged by the guest */
	uint32_t operations;             /* of all devices, that the loop waits for */
	uint8_t active, needs_reset;
	uint32_t queue_count;
	struct vmm_queue_stats queues[VMM_STATS_QUEUES];
};

struct vmm;

/* Start the VMM process (this executable again, role katavm-vmm): it makes itself ready while its
 * configuration is found. The VM dies with the calling thread: call it from one that lives as long
 * as the sandbox. */
int vmm_create(struct vmm **out, struct error *err);

/* Boot, once. Returns when the configuration was taken over, not when the guest is up. Errors name
 * the step that failed, also those found inside the VMM process before the first vCPU ran; then
 * only vmm_destroy is left to do. */
int vmm_start(struct vmm *vmm, const struct vmm_config *config, struct error *err);

/* Readable (poll it) when vmm_next_event has something to say. Owned by vmm. */
int vmm_event_fd(const struct vmm *vmm);

/* 1: *event was filled. 0: nothing now. After VMM_EVENT_ENDED it returns 0 for ever. A VMM process
 * that was taken over may have something to say without end; of what came while it was asked
 * something, so much is kept as a VMM can have to say, and behind that it counts as dead. */
int vmm_next_event(struct vmm *vmm, struct vmm_event *event);

/* The guest's next connection to host port `port` is joined to `fd`. One use; -EEXIST when the port
 * is bound already. A port that is not bound refuses the guest's connection. */
int vmm_bind_port(struct vmm *vmm, uint32_t port, int fd, enum vmm_stream stream,
		  struct error *err);

/* Every connection accepted on `listen_fd` (a Unix stream socket) becomes a new connection to the
 * guest's port `port`. */
int vmm_listen_port(struct vmm *vmm, uint32_t port, int listen_fd, struct error *err);

/* Writes the guest kernel's messages to `fd`, read from its memory: for a guest that never came up,
 * and after VMM_EVENT_ENDED (but VMM_END_KILLED) until vmm_destroy. Costs a good boot nothing.
 * Blocks, for seconds at the most; call vmm_next_event until it returns 0 afterwards, what came
 * meanwhile is kept there. -ENODATA: the kernel has not logged yet. */
int vmm_dump_log(struct vmm *vmm, int fd, struct error *err);

/*
 * Disks while the VM runs. Each blocks as vmm_dump_log does; -EBUSY, -ENOSPC and -ENOENT are of the
 * VMM. A disk is named by its serial.
 *
 * Added in a spare slot: *slot is its number. The guest finds it when it looks at the slot again:
 * "virtio-mmio.SLOT" in /sys/bus/platform/drivers/virtio-mmio/bind. -ENOSPC: no slot is free.
 * Removed only after the guest has let go of it ("unbind"): -EBUSY before that. Only what was added
 * can be removed.
 * Resized: the VMM looks at the file's size again and tells the guest. *bytes: what it is now.
 *
 * -ETIMEDOUT, and vmm_disk_is_awaited: the VMM stands still, and may yet do it. Until
 * VMM_EVENT_DISK says what it did, which may be never, it may have the disk's file. -EBUSY: too
 * much of this is awaited.
 */
int vmm_add_disk(struct vmm *vmm, const struct vmm_disk *disk, unsigned *slot, struct error *err);
int vmm_remove_disk(struct vmm *vmm, const char serial[VMM_SERIAL_SIZE], struct error *err);
int vmm_resize_disk(struct vmm *vmm, const char serial[VMM_SERIAL_SIZE], uint64_t *bytes,
		    struct error *err);
bool vmm_disk_is_awaited(const struct vmm *vmm, const char serial[VMM_SERIAL_SIZE]);

/* Device number `index`, in the order of their windows. 1: *out was filled. 0: there are not that
 * many. Blocks as vmm_dump_log does. */
int vmm_device_stats(struct vmm *vmm, unsigned index, struct vmm_device_stats *out,
		     struct error *err);

/* All of them as one line of JSON for each device, appended to `fd`. */
int vmm_write_stats(struct vmm *vmm, int fd, struct error *err);

/* From now on the guest is to have so much memory in all; it takes and gives in its own time. More
 * than it began with comes as virtio-mem, less goes into the balloon; for both the guest has to
 * have looked for late devices. Blocks as vmm_dump_log does. -ENOSPC: more than memory_max_mib, or
 * RAM cannot grow because it is of large pages. */
int vmm_set_memory(struct vmm *vmm, uint64_t memory_mib, struct error *err);

/* For a guest that ought to have ended and does not: it is stopped once it was silent for two
 * seconds in all, in which nothing that it sent was still to be written. VMM_EVENT_ENDED follows
 * when everything is written, which may last as long as the readers like. Blocks as vmm_dump_log
 * does. */
int vmm_end_guest(struct vmm *vmm, struct error *err);

/* Process id of the VMM, for cgroups and for looking at its memory. */
pid_t vmm_pid(const struct vmm *vmm);

/* Kill what still runs, reap it, free. Accepts NULL. Blocks until the process is gone. */
void vmm_destroy(struct vmm *vmm);

/* Instead of vmm_destroy, by a process that ends right after: that ends the VMM, and what tearing a
 * VM down takes of the host, tens of milliseconds, nobody waits for. Whoever inherits our children
 * reaps it. Accepts NULL; vmm is not to be used any more. */
void vmm_abandon(struct vmm *vmm);

/* main() of the VMM role: argv as vmm_create made it. */
int vmm_main(int argc, char **argv);

/* main() of the role that serves shared folders: argv as vmm_start made it. */
int vmm_share_main(int argc, char **argv);

/* main() of `katavm vmm --config FILE`: drive a VM alone, for debugging kernels. */
int vmm_standalone_main(int argc, char **argv);

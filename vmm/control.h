#pragma once
#include "base/error.h"
#include "base/packet.h"
#include "vmm/vmm.h"

/*
 * What the runtime and the VMM process say to each other: one packet a message on a SOCK_SEQPACKET
 * pair, descriptors beside it. Both are the same program, so the structs are the format; each side
 * still judges every field, because the VMM may have been taken over by its guest.
 *
 * Questions are numbered and an answer carries the number of its question: one that comes when
 * nobody waits for it any more is not taken for the next of its kind.
 */
enum control_kind {
	CONTROL_START,  /* to the VMM, first: with /dev/kvm and all of struct vmm_config's files */
	CONTROL_BIND,   /* to the VMM: with the stream's descriptor */
	CONTROL_LISTEN, /* to the VMM: with the listening socket */
	CONTROL_DUMP_LOG, /* to the VMM: with the file to write to */
	CONTROL_READY,    /* answer to CONTROL_START */
	CONTROL_DUMPED,   /* answer to CONTROL_DUMP_LOG */
	CONTROL_EVENT,
	CONTROL_STATS,     /* to the VMM: of which device */
	CONTROL_STATS_ARE, /* answer to CONTROL_STATS; without a name: there is no such device */
	CONTROL_MEMORY,    /* to the VMM: how much the guest is to have */
	CONTROL_MEMORY_IS, /* answer to CONTROL_MEMORY */
	CONTROL_ADD_DISK,  /* to the VMM: with the disk */
	CONTROL_REMOVE_DISK,
	CONTROL_RESIZE_DISK,
	CONTROL_DISK_DONE, /* answer to these three */
	CONTROL_END_GUEST, /* to the VMM */
	CONTROL_IS_ENDING, /* answer to CONTROL_END_GUEST */
	CONTROL_KINDS,
};

struct control_start {
	uint64_t memory_mib, memory_max_mib;
	uint32_t vcpu_count, disk_count, spare_slots;
	uint8_t huge_pages, has_initramfs, has_console, shared_memory; /* 0 or 1 */
	char cmdline[VMM_CMDLINE_SIZE];
	struct {
		struct vmm_rate rate;
		uint8_t read_only;
		char serial[VMM_SERIAL_SIZE];
	} disks[VMM_MAX_DISKS];
	uint32_t net_count;
	struct {
		struct vmm_rate send_rate, receive_rate;
		uint16_t mtu;
		uint8_t stream, vhost, pair_count, mac[VMM_MAC_SIZE];
	} nets[VMM_MAX_NETS];
	uint32_t share_count; /* with the socket to their server, if any */
	char share_tags[VMM_MAX_SHARES][VMM_TAG_SIZE];
};

struct control_port {
	uint32_t port, stream; /* stream: CONTROL_BIND only, enum vmm_stream */
};

struct control_disk {
	struct vmm_rate rate; /* CONTROL_ADD_DISK */
	uint8_t read_only;    /* CONTROL_ADD_DISK, 0 or 1 */
	char serial[VMM_SERIAL_SIZE];
};

struct control_result {
	int32_t code;   /* 0 or -errno */
	uint64_t value; /* CONTROL_DISK_DONE: slot added to; bytes */
	char text[240];
};

struct control_message {
	uint32_t kind;
	uint32_t number; /* of the question, also in its answer; 0: it is neither */
	union {
		struct control_start start;
		struct control_port port;
		uint32_t device;     /* CONTROL_STATS */
		uint64_t memory_mib; /* CONTROL_MEMORY */
		struct control_disk disk;
		struct vmm_device_stats stats;
		struct control_result result;
		struct vmm_event event;
	} body;
};

/* Judges a packet that came with fd_count descriptors. -EPROTO: not a message; *out is untouched.
 * Sentences of results and events are printable. */
int control_parse(const void *packet, size_t size, size_t fd_count, struct control_message *out);

int control_send(int socket, const struct control_message *message, const int *fds,
		 size_t fd_count);
/* 1: a message, with *fd_count descriptors in fds, which are the caller's now. 0: the other side is
 * gone. -EAGAIN: nothing there (with wait false). -EPROTO: not a message. */
int control_receive(int socket, bool wait, struct control_message *out, int fds[PACKET_MAX_FDS],
		    size_t *fd_count);

/* struct vmm_config to message and list of descriptors (borrowed) and back. */
int control_pack_config(const struct vmm_config *config, int kvm_fd, struct control_message *out,
			int fds[PACKET_MAX_FDS], size_t *fd_count, struct error *err);
void control_unpack_config(const struct control_start *start, const int *fds, int *kvm_fd,
			   struct vmm_config *out);

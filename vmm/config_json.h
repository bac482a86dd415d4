#pragma once
#include "base/error.h"
#include "vmm/vmm.h"
#include <limits.h>

/* The file `katavm vmm --config FILE` reads: struct vmm_config with paths instead of descriptors. A
 * key that is not known is an error. */
enum { CONFIG_MAX_PORTS = 16 };

struct config_disk {
	char path[PATH_MAX];
	char serial[VMM_SERIAL_SIZE + 1];
	bool read_only, direct; /* direct: opened with O_DIRECT */
	struct vmm_rate rate;
};

struct config_port { /* a Unix stream socket of the host and the port it is joined to */
	char path[PATH_MAX];
	uint32_t port;
};

struct config_net {
	char tap[16]; /* the interface's name */
	char mac[24];
	unsigned mtu, queues;
	uint8_t address[VMM_MAC_SIZE]; /* what mac says */
	struct vmm_rate send_rate, receive_rate;
	bool vhost;
};

struct config_share {
	char path[PATH_MAX];
	char tag[VMM_TAG_SIZE + 1];
	bool read_only, notify;
	unsigned cache; /* enum vmm_cache */
};

struct config_json {
	char kernel[PATH_MAX], initramfs[PATH_MAX]; /* initramfs may be "" */
	char cmdline[VMM_CMDLINE_SIZE];
	char control[PATH_MAX]; /* socket for commands while it runs; may be "" */
	unsigned spare_slots;
	unsigned vcpus;      /* 1 unless given */
	uint64_t memory_mib; /* 512 unless given */
	bool huge_pages, shared_memory,
	    console; /* console: on stdout; true unless given as "none" */
	size_t disk_count, listen_count, connect_count;
	struct config_disk disks[VMM_MAX_DISKS];
	size_t net_count;
	struct config_net nets[VMM_MAX_NETS];
	size_t share_count;
	struct config_share shares[VMM_MAX_SHARES];
	struct config_port listen[CONFIG_MAX_PORTS];  /* the socket is made; who connects reaches
							 the guest's port */
	struct config_port connect[CONFIG_MAX_PORTS]; /* who connects from the guest to the host's
							 port reaches the socket */
};

int config_json_parse(const char *text, size_t size, struct config_json *out, struct error *err);

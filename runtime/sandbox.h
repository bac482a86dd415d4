#pragma once
#include "agent/protocol/ttrpc_client.h"
#include "base/error.h"
#include "runtime/disk_file.h"
#include "runtime/image/image.h"
#include "runtime/net/net.h"
#include "runtime/run_config.h"
#include "runtime/shares.h"
#include "vmm/vmm.h"

/* A disk that was added while the container runs: session_disks.c. */
struct sandbox_disk {
	char name[VMM_SERIAL_SIZE + 1]; /* "": there is none in this place */
	char *host_path, *guest_path;   /* of the file; of its node, NULL until that is there */
	struct disk_file file;
	unsigned slot, major, minor;
};

/* One VM with its image's disks, and the connection to the agent in it. One thread owns it. */
struct sandbox {
	struct vmm *vmm;
	struct ttrpc_client *agent; /* calls may be made as soon as the guest has connected */
	uint64_t memory_bytes;      /* what the container may use now */
	bool is_updating;           /* that is about to change: session_update.c */
	struct sandbox_disk disks[VMM_MAX_SPARES];
	bool disks_change; /* one comes or goes just now */
};

/* The memory of a VM whose container may use so much: the guest's kernel and its tables of pages
 * come on top. */
uint64_t sandbox_vm_mib(uint64_t container_bytes);

/* What `katavm update` may make of it, which costs nothing until then: for a container of
 * asked_bytes at the most, and when nothing was asked for (0), of what the host has or, where that
 * is more, as much as a VM can have. */
uint64_t sandbox_most_mib(uint64_t asked_bytes, uint64_t host_bytes);

/* Starts the process of the VM, which makes itself ready while the image is looked up. */
int sandbox_create(struct sandbox *out, struct error *err);

/* What a VM is made of; all of it, descriptors too, is borrowed until it was started. */
struct sandbox_parts {
	const struct run_config *config;
	const struct image *image;
	const struct net *net;
	const struct shares *shares;
};

/* Starts it; it boots while this returns. */
int sandbox_start(struct sandbox *sandbox, const struct sandbox_parts *parts, struct error *err);

/* The process's stdin, stdout and stderr will be this process's descriptors 0, 1 and 2, or second
 * open files of their terminals. */
int sandbox_connect_stdio(struct sandbox *sandbox, const struct run_config *config,
			  struct error *err);

/* Of a place that is to be empty again. */
void sandbox_forget_disk(struct sandbox_disk *disk);

/* Ends whatever is still there. Accepts a zeroed one. */
void sandbox_finish(struct sandbox *sandbox);

/* The same for a process that ends right after, without waiting: see vmm_abandon. */
void sandbox_abandon(struct sandbox *sandbox);

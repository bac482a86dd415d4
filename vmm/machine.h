#pragma once
#include "base/error.h"
#include "vmm/vmm.h"

/*
 * A whole virtual machine inside the VMM process. Every function is for the thread that owns it,
 * which is also the device thread: between machine_start and the `ended` callback it runs the loop.
 */
struct io;
struct machine;

struct machine_callbacks { /* on the device thread */
	void (*connected)(void *context, uint32_t port);
	void (*closed)(void *context, uint32_t port, int write_error);
	/* Once. No vCPU runs any more; guest memory stays until machine_destroy. */
	void (*ended)(void *context, enum vmm_end end, const char *text);
	void *context;
};

/* Builds the machine. The descriptors in config are taken over or duplicated: the caller may close
 * its own afterwards. */
int machine_create(const struct vmm_config *config, int kvm_fd, struct io *io,
		   const struct machine_callbacks *callbacks, struct machine **out,
		   struct error *err);
int machine_start(struct machine *machine, struct error *err);
/* Accepts NULL. Stops what runs; not while a loop on another thread serves it. */
void machine_destroy(struct machine *machine);

/* Ownership of fd passes on success. */
int machine_bind(struct machine *machine, uint32_t port, int fd, enum vmm_stream stream);
int machine_listen(struct machine *machine, uint32_t port, int listen_fd);

/* For events. */
uint64_t machine_exits(const struct machine *machine);
uint64_t machine_entered_ns(const struct machine *machine);
uint64_t machine_memory_kib(const struct machine *machine);
/* As vmm_add_disk and its neighbours; disk->fd is duplicated. */
int machine_add_disk(struct machine *machine, const struct vmm_disk *disk, uint64_t *slot,
		     struct error *err);
int machine_remove_disk(struct machine *machine, const char serial[VMM_SERIAL_SIZE],
			struct error *err);
int machine_resize_disk(struct machine *machine, const char serial[VMM_SERIAL_SIZE],
			uint64_t *bytes, struct error *err);
/* False: there are not that many devices; *out is untouched. */
bool machine_device_stats(const struct machine *machine, unsigned index,
			  struct vmm_device_stats *out);
/* vmm_end_guest. */
void machine_end_silent(struct machine *machine);
/* vmm_set_memory. */
int machine_set_memory(struct machine *machine, uint64_t memory_mib, struct error *err);
int machine_dump_log(const struct machine *machine, int fd, struct error *err);

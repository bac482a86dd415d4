#pragma once
#include "base/error.h"
#include "base/gmem.h"

/* KVM's system calls, each naming itself in its error. Descriptors returned are the caller's. */

/* Opens /dev/kvm and checks that it is what this program needs. */
int kvm_open(struct error *err);
int kvm_create_vm(int kvm_fd, struct error *err);
/* Size of the area shared between kernel and program for each vCPU. */
int kvm_run_size(int kvm_fd, struct error *err);
int kvm_add_memory(int vm_fd, unsigned slot, gpa_t start, void *host, uint64_t size,
		   struct error *err);
int kvm_create_vcpu(int vm_fd, unsigned index, struct error *err);
/* A signal on event_fd becomes an edge of interrupt line `irq`. */
int kvm_add_irqfd(int vm_fd, int event_fd, unsigned irq, struct error *err);
/* A guest's write of the 4-byte `value` to `at` becomes a signal on event_fd. */
/* The other way; there is nothing to do about a failure. */
void kvm_remove_irqfd(int vm_fd, int event_fd, unsigned irq);
void kvm_remove_ioeventfd(int vm_fd, int event_fd, gpa_t at, uint32_t value);
int kvm_add_ioeventfd(int vm_fd, int event_fd, gpa_t at, uint32_t value, struct error *err);

#pragma once
#include "base/error.h"
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * One vCPU and the thread that runs it. Created, started, stopped and destroyed by the VMM's main
 * thread; `handle` runs on the vCPU's own.
 */
struct vcpu {
	int fd;
	unsigned index;
	struct kvm_run *run;
	size_t run_size;
	/* False: the vCPU does not go on (the handler has said why to whoever must know). */
	bool (*handle)(struct vcpu *vcpu);
	/* KVM_RUN failed with this -errno. */
	void (*failed)(struct vcpu *vcpu, int result);
	/* The last thing the thread does. */
	void (*stopped)(struct vcpu *vcpu);
	void *context;
	pthread_t thread;
	bool started;
	uint64_t exits; /* atomic: to this program, until now */
	bool stopping;  /* atomic */
};

int vcpu_init(struct vcpu *vcpu, int vm_fd, unsigned index, int run_size, struct error *err);
/* Stopped. Accepts a zeroed one. */
void vcpu_finish(struct vcpu *vcpu);

/* Once, before any vcpu_start: the signal that brings a vCPU out of the guest. */
int vcpu_prepare_process(struct error *err);
int vcpu_start(struct vcpu *vcpu, struct error *err);
/* Asks; the thread leaves the guest soon. */
void vcpu_ask_stop(struct vcpu *vcpu);
/* A thread with a stack as small as all of this process's have; -errno. */
int vcpu_thread_create(pthread_t *thread, void *(*function)(void *), void *argument);
/* Waits until the thread has ended. */
void vcpu_join(struct vcpu *vcpu);
uint64_t vcpu_exits(const struct vcpu *vcpu);

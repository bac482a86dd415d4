#include "vmm/vcpu.h"
#include "base/own.h"
#include "base/sys.h"

#include "vmm/kvm.h"
#include <sys/ioctl.h>

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

enum {
	STOP_SIGNAL = SIGUSR1,
	STACK_SIZE = 64 * 1024, /* the deepest handler is a device register access */
};

int vcpu_init(struct vcpu *vcpu, int vm_fd, unsigned index, int run_size, struct error *err)
{
	own_fd fd = kvm_create_vcpu(vm_fd, index, err);
	void *run;
	int r;

	if (fd < 0)
		return fd;
	r = sys_mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, &run);
	if (r < 0)
		return error_set(err, r, "vCPU %u: map its shared area: %s", index, sys_text(r));
	*vcpu = (struct vcpu){
		.fd = take_fd(&fd), .index = index, .run = run, .run_size = (size_t)run_size
	};
	return 0;
}

void vcpu_finish(struct vcpu *vcpu)
{
	if (!vcpu->run)
		return;
	(void)munmap(vcpu->run, vcpu->run_size);
	vcpu->run = NULL;
	close_fd(&vcpu->fd);
}

static void on_stop_signal(int number)
{
	(void)number; /* interrupting KVM_RUN is all it is for */
}

int vcpu_prepare_process(struct error *err)
{
	struct sigaction action = { .sa_handler = on_stop_signal };
	int r = (int)SYS(sigaction, STOP_SIGNAL, &action, NULL);

	return r < 0 ? error_set(err, r, "vCPU: signal handler: %s", sys_text(r)) : 0;
}

static bool is_stopping(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->stopping, __ATOMIC_ACQUIRE);
}

/* immediate_exit closes the gap between the look at `stopping` and KVM_RUN: whoever asks sets it
 * first, so a signal that comes too early still ends the next KVM_RUN. */
static void *vcpu_thread(void *argument)
{
	struct vcpu *vcpu = argument;
	char name[16];

	(void)snprintf(name, sizeof name, "vcpu%u", vcpu->index);
	(void)SYS(prctl, PR_SET_NAME, name);
	while (!is_stopping(vcpu)) {
		int r = (int)SYS(ioctl, vcpu->fd, KVM_RUN, 0);

		__atomic_store_n(&vcpu->exits, vcpu->exits + 1, __ATOMIC_RELAXED);
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r < 0) {
			vcpu->failed(vcpu, r);
			break;
		}
		if (!vcpu->handle(vcpu))
			break;
	}
	vcpu->stopped(vcpu);
	return NULL;
}

int vcpu_thread_create(pthread_t *thread, void *(*function)(void *), void *argument)
{
	pthread_attr_t attributes;
	int r = pthread_attr_init(&attributes);

	if (r != 0)
		return -r;
	r = pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (r == 0)
		r = pthread_create(thread, &attributes, function, argument);
	(void)pthread_attr_destroy(&attributes);
	return -r;
}

int vcpu_start(struct vcpu *vcpu, struct error *err)
{
	int r = vcpu_thread_create(&vcpu->thread, vcpu_thread, vcpu);

	if (r < 0)
		return error_set(err, r, "vCPU %u: start its thread: %s", vcpu->index, sys_text(r));
	vcpu->started = true;
	return 0;
}

void vcpu_ask_stop(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	__atomic_store_n(&vcpu->stopping, true, __ATOMIC_RELEASE);
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	(void)pthread_kill(vcpu->thread, STOP_SIGNAL);
}

void vcpu_join(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	(void)pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
}

uint64_t vcpu_exits(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->exits, __ATOMIC_RELAXED);
}

#pragma once
#include "vmm/vcpu.h"

/* What a vCPU does when it leaves the guest; on the vCPU's thread. `vcpu->context` is the machine.
 */
bool exit_handle(struct vcpu *vcpu);
void exit_failed(struct vcpu *vcpu, int result);
void exit_stopped(struct vcpu *vcpu);

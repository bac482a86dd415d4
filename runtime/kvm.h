#pragma once
#include <limits.h>
#include <stdbool.h>

/* Can this host start a VM, and if not: why, and what to type. */
enum kvm_state {
	KVM_USABLE,
	KVM_SOFTWARE, /* opens, but nothing in hardware is behind it */
	KVM_MISSING,  /* no such device */
	KVM_NO_PERMISSION,
	KVM_NOT_WORKING, /* there and refused for another reason, or too old */
};

/* Where to look; tests look elsewhere. */
struct kvm_places {
	const char *device;  /* /dev/kvm */
	const char *cpuinfo; /* /proc/cpuinfo */
	const char *modules; /* /sys/module */
};

extern const struct kvm_places kvm_host;

struct kvm_report {
	enum kvm_state state;
	int api_version;
	char what[160]; /* "no permission to open /dev/kvm" */
	char why[240];  /* "/dev/kvm belongs to group ..." */
	char fix[240];  /* "sudo usermod ...", or "" */
};

void kvm_probe(const struct kvm_places *places, struct kvm_report *out);

/* A few system calls' worth of the same question, for every start: false asks for kvm_probe. */
bool kvm_likely(const struct kvm_places *places);

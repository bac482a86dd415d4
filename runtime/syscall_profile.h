#pragma once
#include <stddef.h>
#include <stdint.h>

/* The default system call filter: every call that libseccomp knows, but for those that reach past a
 * container. With a capability come the calls it is for. Compiling takes long (a thousand rules):
 * the usual program is made when katavm is built, see syscall_filter.h. */

/* The capabilities that make a difference to the profile. */
extern const uint64_t syscall_profile_capabilities;

/* *out: a BPF program (struct sock_filter) for this machine, the caller frees it. 0 or -errno. */
int syscall_profile_compile(uint64_t capabilities, void **out, size_t *size);

#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The values of flags, as Docker's users write them. Each answers 0 or -EINVAL with a sentence that
 * quotes what was written. */

/* All of text is a decimal number of at most `limit`. */
bool parse_number(const char *text, uint64_t limit, uint64_t *out);

/* 64m, 1.5g, 512MiB, 4096: bytes, units are powers of 1024. flag names the flag in the error. */
int parse_bytes(const char *flag, const char *text, uint64_t *out, struct error *err);

/* 1.5 as 1500. */
int parse_cpus(const char *text, uint64_t *out_milli, struct error *err);

/* SIGTERM, TERM, 15, RTMIN+3. */
int parse_signal(const char *text, int *out, struct error *err);

/* NAME, CAP_NAME or ALL as a mask. */
int parse_capability(const char *text, uint64_t *out, struct error *err);
#define CAPABILITIES_ALL ((UINT64_C(1) << 41) - 1) /* CAP_CHECKPOINT_RESTORE is the last, 40 */

struct rlimit_value {
	const char *type;    /* RLIMIT_NOFILE */
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};
/* nofile=1024:2048, core=-1. */
int parse_ulimit(const char *text, struct rlimit_value *out, struct error *err);

/* host:ip or host=ip, also [v6]: *host_size bytes of text are the host, *ip the address. */
int parse_host(const char *text, size_t *host_size, char ip[64], struct error *err);

int parse_ip(const char *flag, const char *text, struct error *err);
int parse_hostname(const char *text, struct error *err);
int parse_container_name(const char *text, struct error *err);
int parse_volume_name(const char *text, struct error *err);

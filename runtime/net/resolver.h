#pragma once
#include "runtime/arena.h"
#include "runtime/net/ip.h"

/* What resolv.conf(5) says, as far as it means something to a guest. Lists live in an arena. */
struct resolver {
	struct texts servers; /* at most three; none of them on loopback or a link-local address */
	struct texts search, options;
	struct ip local; /* the first server on loopback, or none */
};

/* Lines that are not understood are passed over, as the C library does. */
void resolver_parse(const char *text, size_t size, struct arena *arena, struct resolver *out);

/* The host's: where only a local stub answers, what that one asks, if that is known. */
void resolver_read_host(struct arena *arena, struct resolver *out);

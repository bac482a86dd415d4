#pragma once
#include "base/error.h"
#include "runtime/net/ip.h"

#include <sys/types.h>

/*
 * A process that passes on, byte for byte, what comes to sockets of the host: connections to
 * published ports that the host makes itself (the kernel translates those from outside, and could
 * translate these only by believing packets with loopback addresses from a bridge, and in IPv4
 * alone), and questions to a name server that listens on loopback. It has the sockets and nothing
 * else: no file, no capability, another user's id. Its end is katavm's, by whatever death.
 */
struct forward {
	int fd; /* not blocking; TCP: listening; UDP: bound. Borrowed */
	uint8_t protocol;
	struct ip to;
	uint16_t to_port;
};

struct forwarder {
	pid_t pid; /* 0: none */
	int alive_fd;
};

/* count may be 0: then there is none. */
int forward_start(const struct forward *list, size_t count, struct forwarder *out,
		  struct error *err);
/* Returns when its sockets are closed. Accepts a zeroed one. */
void forward_stop(struct forwarder *forwarder);

#pragma once
#include "base/error.h"
#include "vmm/vmm.h"

/* What --network says behind the network's name, about each interface that the container gets. */
struct interface_options {
	struct vmm_rate send, receive; /* seen from the container */
	bool vhost;
};

/* OPTION[,OPTION...] of
 *	rate=BYTES[:BURST], send-rate=, receive-rate=           a second
 *	packets=NUMBER[:BURST], send-packets=, receive-packets=
 * where the ones without a direction are for each of both, and
 *	vhost
 * -EINVAL: err quotes what is wrong. */
int interface_options_parse(const char *text, struct interface_options *out, struct error *err);

#pragma once
#include "runtime/net/net.h"

/*
 * The network of a sandbox whose user is not root: passt, a program of its own, takes the guest's
 * frames from a socket and makes its connections as ordinary ones of this user. It ends when the
 * last of our side's descriptors is closed, which is the VMM's end, however that comes.
 */

/* -ENOENT: passt is not installed. Returns when passt is ready; what it says of a failure is in
 * err. */
int passt_open(const struct net_request *request, struct arena *arena, struct net *out,
	       struct error *err);

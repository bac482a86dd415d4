#pragma once
#include "runtime/net/net.h"

/*
 * The network of a sandbox that is a port of one of katavm's bridges (network.h): an address is
 * leased, a tap becomes a port of the bridge, nft is given the rules. Needs root.
 */
struct bridge;

int bridge_open(const struct net_request *request, struct arena *arena, struct net *out,
		struct error *err);
int bridge_ready(struct bridge *bridge, struct error *err);
/* See net_fd, net_process and net_names_read. */
int bridge_fd(const struct bridge *bridge);
bool bridge_process(struct bridge *bridge, void (*say)(void *context, const char *sentence),
		    void *context);
void bridge_names_read(const struct bridge *bridge, struct arena *arena, struct net *net);

/* How many packets were denied to a restricted one; blocks while nft runs. */
int bridge_denied(struct bridge *bridge, uint64_t *packets);

/* The ports of the host are free when it returns; rules and the lease are taken away by a process
 * that nobody waits for. Accepts NULL. */
void bridge_close(struct bridge *bridge);

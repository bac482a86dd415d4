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
int bridge_names_fd(const struct bridge *bridge);
void bridge_names_read(struct bridge *bridge, struct arena *arena, struct net *net);

/* Takes its rules and its lease away. Accepts NULL. */
void bridge_close(struct bridge *bridge);

#pragma once
/* Between netns.c and netns_carry.c. */
#include "base/netlink.h"

/* The netlink socket is one of the interfaces' namespace. */
int netns_join(struct netlink *netlink, int one, int other);
int netns_raise_tap(struct netlink *netlink, int index, uint32_t mtu);

#pragma once
#include "base/error.h"

#include <net/if.h>

/* A new tap interface with `queues` queues, each a descriptor with virtio headers; it goes with the
 * last of them. pattern is its name, in which "%d" becomes the lowest number that is free; the name
 * it got is in `name`. Not raised yet. */
int tap_open(const char *pattern, unsigned queues, int *fds, char name[IF_NAMESIZE],
	     struct error *err);

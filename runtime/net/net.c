#include "runtime/net/net.h"

#include "base/own.h"

void net_finish(struct net *net)
{
	for (size_t i = 0; i < net->interface_count; i++) {
		struct net_interface *one = &net->interfaces[i];

		for (size_t j = 0; j < one->queue_count; j++)
			close_fd(&one->tap_fds[j]);
		one->queue_count = 0;
	}
	net->interface_count = 0;
}

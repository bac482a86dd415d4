#include "runtime/net/net.h"

#include "base/own.h"
#include "runtime/net/bridge.h"
#include "runtime/net/netns.h"
#include "runtime/net/passt.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int net_open(const struct net_request *request, struct arena *arena, struct net *out,
	     struct error *err)
{
	int r = 0;

	if (!request->network)
		return 0;
	if (strncmp(request->network, NETNS_PREFIX, strlen(NETNS_PREFIX)) == 0)
		r = netns_carry_path(request->network + strlen(NETNS_PREFIX), 1, arena, out, err);
	else if (geteuid() == 0)
		r = bridge_open(request, arena, out, err);
	else if (request->allowed.count)
		r = error_set(
		    err, -EPERM,
		    "--allow-host needs root, whose packet filter keeps it: run katavm as "
		    "root, or with --network none");
	else
		r = passt_open(request, arena, out, err);
	if (r < 0 && request->optional) {
		(void)fprintf(stderr, "katavm: no network: %s\n", err->text);
		r = 0;
	}
	return r;
}

int net_ready(struct net *net, struct error *err)
{
	return net->bridge ? bridge_ready(net->bridge, err) : 0;
}

int net_fd(const struct net *net)
{
	return net->bridge ? bridge_fd(net->bridge) : -1;
}

bool net_process(struct net *net, void (*say)(void *context, const char *sentence), void *context)
{
	return net->bridge && bridge_process(net->bridge, say, context);
}

void net_names_read(struct net *net, struct arena *arena)
{
	if (net->bridge)
		bridge_names_read(net->bridge, arena, net);
}

uint64_t net_denied(struct net *net)
{
	uint64_t packets = 0;

	if (net->bridge)
		(void)bridge_denied(net->bridge, &packets);
	return packets;
}

void net_finish(struct net *net)
{
	for (size_t i = 0; i < net->interface_count; i++) {
		struct net_interface *one = &net->interfaces[i];

		for (size_t j = 0; j < one->queue_count; j++)
			close_fd(&one->tap_fds[j]);
		one->queue_count = 0;
	}
	net->interface_count = 0;
	bridge_close(net->bridge);
	net->bridge = NULL;
}

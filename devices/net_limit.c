/* Rate limits: one for each direction, shared by all pairs. A limit is asked when a packet is
 * there, so that its size is known: one from the guest stays in its queue until it may go, one for
 * the guest has been read and is held. What comes after it waits in the guest's queue or the tap's.
 */
#include "base/container_of.h"
#include "base/sys.h"
#include "devices/net_private.h"

static void passed(struct io_op *op, int result)
{
	struct net_limit *limit = container_of(op, struct net_limit, timer);
	struct net *net = limit->net;

	(void)result; /* ended early: the limit was changed */
	for (unsigned pair = 0; net->device.active && pair < net->setup.pair_count; pair++) {
		unsigned queue = limit == &net->send_limit ? 2 * pair + 1 : 2 * pair;

		if (net->device.queues[queue].size == 0 || net->device.queues[queue].broken)
			continue;
		if (limit == &net->send_limit)
			net_send_notify(&net->sends[pair]);
		else
			net_receive_start(&net->receives[pair]);
	}
}

void net_limit_init(struct net *net)
{
	net->send_limit.net = net->receive_limit.net = net;
	rate_limit_init(&net->send_limit.limit, &net->setup.send_limit);
	rate_limit_init(&net->receive_limit.limit, &net->setup.receive_limit);
}

bool net_limit_waits(const struct net_limit *limit)
{
	return io_is_busy(&limit->timer);
}

bool net_limit_take(struct net_limit *limit, size_t bytes)
{
	struct net *net = limit->net;
	uint64_t wait;

	if (!rate_limit_is_on(&limit->limit))
		return true;
	if (net_limit_waits(limit))
		return false;
	wait = rate_limit_take(&limit->limit, bytes, sys_monotonic_ns());
	net->device.delayed = net->send_limit.limit.delayed + net->receive_limit.limit.delayed;
	if (wait == 0)
		return true;
	io_timer(net->device.io, &limit->timer, wait, passed);
	return false;
}

void net_limit_stop(struct net_limit *limit)
{
	(void)io_cancel_wait(&limit->timer);
}

void virtio_net_set_limits(struct virtio_device *device, const struct rate_limit_config *send,
			   const struct rate_limit_config *receive)
{
	struct net *net = net_of(device);

	rate_limit_init(&net->send_limit.limit, send);
	rate_limit_init(&net->receive_limit.limit, receive);
	io_cancel(&net->send_limit.timer); /* what waits for the old one goes on */
	io_cancel(&net->receive_limit.timer);
}

/* Network interfaces. */
#include "base/own.h"
#include "base/sys.h"
#include "devices/virtio_net.h"
#include "vmm/machine_private.h"

#include <fcntl.h>
#include <string.h>

static struct rate_limit_config limit_of(const struct vmm_rate *rate)
{
	return (struct rate_limit_config){ .bytes_rate = rate->bytes,
					   .bytes_burst = rate->bytes_burst,
					   .operations_rate = rate->operations,
					   .operations_burst = rate->operations_burst };
}

static int duplicate(const int *from, int *to, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		to[i] = (int)SYS(fcntl, from[i], F_DUPFD_CLOEXEC, 0);
		if (to[i] < 0)
			return to[i];
	}
	return 0;
}

static int refused(int r, struct error *err)
{
	if (r == -EINVAL)
		return error_set(err, r, "network interface: it is no tap with packet headers");
	if (r == -EOPNOTSUPP)
		return error_set(err, r,
				 "network interface: the vhost-net of this host's kernel "
				 "does not know all that a guest is offered");
	return error_set(err, r, "network interface: %s", sys_text(r));
}

int machine_add_net(struct machine *machine, const struct vmm_net *net, struct error *err)
{
	struct virtio_net_setup setup = { .pair_count = net->pair_count,
					  .mtu = net->mtu,
					  .is_stream = net->stream,
					  .is_vhost = net->vhost,
					  .send_limit = limit_of(&net->send_rate),
					  .receive_limit = limit_of(&net->receive_rate) };
	struct virtio_device *device;
	int r;

	for (unsigned i = 0; i < VMM_MAX_NET_PAIRS; i++)
		setup.fds[i] = setup.vhost_fds[i] = -EBADF;
	memcpy(setup.mac, net->mac, sizeof setup.mac);
	r = duplicate(net->fds, setup.fds, net->pair_count);
	if (r == 0)
		r = duplicate(net->vhost_fds, setup.vhost_fds, net->vhost ? net->pair_count : 0);
	if (r == 0)
		r = virtio_net_create(&setup, &device);
	if (r < 0) {
		for (unsigned i = 0; i < VMM_MAX_NET_PAIRS; i++) {
			close_fd(&setup.fds[i]);
			close_fd(&setup.vhost_fds[i]);
		}
		return refused(r, err);
	}
	r = machine_attach(machine, device, false, err);
	if (r == 0 && net->vhost)
		machine->vhost_nets[machine->vhost_net_count++] = device;
	return r;
}

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

int machine_add_net(struct machine *machine, const struct vmm_net *net, struct error *err)
{
	struct virtio_net_setup setup = { .pair_count = net->pair_count,
					  .mtu = net->mtu,
					  .is_stream = net->stream,
					  .send_limit = limit_of(&net->send_rate),
					  .receive_limit = limit_of(&net->receive_rate) };
	struct virtio_device *device;
	int r = 0;

	memcpy(setup.mac, net->mac, sizeof setup.mac);
	for (unsigned i = 0; i < net->pair_count; i++) {
		setup.fds[i] = (int)SYS(fcntl, net->fds[i], F_DUPFD_CLOEXEC, 0);
		if (setup.fds[i] < 0 && r == 0)
			r = setup.fds[i];
	}
	if (r == 0)
		r = virtio_net_create(&setup, &device);
	if (r < 0) {
		for (unsigned i = 0; i < net->pair_count; i++)
			close_fd(&setup.fds[i]);
		return error_set(err, r, "network interface: %s",
				 r == -EINVAL ? "it is no tap with packet headers" : sys_text(r));
	}
	return machine_attach(machine, device, false, err);
}

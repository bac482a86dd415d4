/* Descriptors of /dev/vhost-net, which the VMM process is handed like all others. */
#include "vmm/vhost.h"
#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>

static int open_one(struct error *err)
{
	int fd = sys_open(AT_FDCWD, "/dev/vhost-net", O_RDWR, 0);

	if (fd >= 0)
		return fd;
	return error_set(err, fd,
			 fd == -ENOENT || fd == -ENODEV || fd == -ENXIO
			     ? "vhost: open /dev/vhost-net: %s: is the kernel's module vhost_net "
			       "loaded? (modprobe vhost_net)"
			     : "vhost: open /dev/vhost-net: %s",
			 sys_text(fd));
}

static bool is_limited(const struct vmm_rate *rate)
{
	return rate->bytes > 0 || rate->operations > 0;
}

static int check(const struct vmm_net *net, struct error *err)
{
	if (net->stream)
		return error_set(
		    err, -EINVAL,
		    "vhost: it serves a tap of the host's, and this network has none: it "
		    "comes through passt");
	if (is_limited(&net->send_rate) || is_limited(&net->receive_rate))
		return error_set(
		    err, -EINVAL,
		    "vhost: the host's kernel moves its packets and knows no rate limits: "
		    "one or the other");
	return 0;
}

int vhost_open(const struct vmm_config *config, struct vmm_config *out, struct error *err)
{
	int r = 0;

	*out = *config;
	for (size_t i = 0; i < out->net_count && i < VMM_MAX_NETS; i++)
		for (unsigned pair = 0; pair < VMM_MAX_NET_PAIRS; pair++)
			out->nets[i].vhost_fds[pair] = -EBADF;
	for (size_t i = 0; r == 0 && i < out->net_count && i < VMM_MAX_NETS; i++) {
		struct vmm_net *net = &out->nets[i];

		if (!net->vhost)
			continue;
		r = check(net, err);
		for (unsigned pair = 0;
		     r == 0 && pair < net->pair_count && pair < VMM_MAX_NET_PAIRS; pair++) {
			net->vhost_fds[pair] = open_one(err);
			r = net->vhost_fds[pair] < 0 ? net->vhost_fds[pair] : 0;
		}
	}
	if (r < 0)
		vhost_close(out);
	return r;
}

void vhost_close(struct vmm_config *config)
{
	for (size_t i = 0; i < config->net_count && i < VMM_MAX_NETS; i++)
		for (unsigned pair = 0; pair < VMM_MAX_NET_PAIRS; pair++)
			close_fd(&config->nets[i].vhost_fds[pair]);
}

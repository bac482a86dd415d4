#include "runtime/net/tap.h"

#include "base/own.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static int open_queue(unsigned queues, struct ifreq *request)
{
	own_fd fd = sys_open(AT_FDCWD, "/dev/net/tun", O_RDWR | O_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return fd;
	request->ifr_flags =
	    (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0));
	r = sys_ioctl(fd, TUNSETIFF, request);
	return r < 0 ? r : take_fd(&fd);
}

int tap_open(const char *pattern, unsigned queues, int *fds, char name[IF_NAMESIZE],
	     struct error *err)
{
	struct ifreq request = { 0 };

	(void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", pattern);
	for (unsigned i = 0; i < queues; i++) {
		fds[i] = open_queue(queues, &request);
		if (fds[i] >= 0)
			continue;
		(void)error_set(
		    err, fds[i],
		    fds[i] == -ENOENT || fds[i] == -ENODEV || fds[i] == -ENXIO
			? "make a tap interface: %s: is the kernel's module tun loaded? "
			  "(modprobe tun)"
			: "make a tap interface: %s",
		    sys_text(fds[i]));
		for (unsigned j = 0; j < i; j++)
			close_fd(&fds[j]);
		return fds[i];
	}
	memcpy(name, request.ifr_name, IF_NAMESIZE);
	return 0;
}

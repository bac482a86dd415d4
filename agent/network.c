#include "agent/network.h"

#include "base/own.h"
#include "base/sys.h"
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int network_raise_loopback(void)
{
	own_fd fd = (int)SYS(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_flags = IFF_UP };

	if (fd < 0)
		return fd;
	memcpy(request.ifr_name, "lo", sizeof "lo");
	return sys_ioctl(fd, SIOCSIFFLAGS, &request);
}

#include "agent/transport.h"

#include "base/own.h"
#include "base/sys.h"
#include <linux/vm_sockets.h>
#include <sys/socket.h>

int transport_connect(uint32_t port)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
					  .svm_cid = VMADDR_CID_HOST,
					  .svm_port = port };
	own_fd fd = (int)SYS(socket, AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return fd;
	r = (int)SYS(connect, fd, (const struct sockaddr *)&host, sizeof host);
	return r < 0 && r != -EINPROGRESS ? r : take_fd(&fd);
}

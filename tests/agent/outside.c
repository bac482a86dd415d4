/* Stands in for agent/devices.c, agent/disks.c and agent/transport.c, so that the agent runs
 * without a virtual machine: as PID 1 of new namespaces, with Unix sockets DIR/PORT for the host's
 * ports and folders DIR/layers/SERIAL for its disks. DIR is the working folder it is started in. */
#include "agent/copy.h"
#include "agent/devices.h"
#include "agent/disks.h"
#include "agent/kernel.h"
#include "agent/transport.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The agent changes its root and its working folder; this stays. */
static int folder(void)
{
	static int fd = -1;

	if (fd < 0) {
		int low = (int)SYS(open, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

		fd = (int)SYS(fcntl, low, F_DUPFD_CLOEXEC, 10);
		(void)close(low);
	}
	return fd;
}

int transport_connect(uint32_t port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	own_fd fd = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = (int)SYS(fchdir, folder());

	if (fd < 0 || r < 0)
		return fd < 0 ? fd : r;
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%u", port);
	r = (int)SYS(connect, fd, (const struct sockaddr *)&address, sizeof address);
	(void)SYS(chdir, "/");
	return r < 0 ? r : take_fd(&fd);
}

int disks_mount_layer(const char *serial, struct error *err)
{
	own_fd mount = kernel_mount_detached("tmpfs", 0);
	own_fd layer = -1;
	char path[64];
	int r;

	(void)snprintf(path, sizeof path, "layers/%s", serial);
	layer = (int)SYS(openat, folder(), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = layer < 0 ? layer : copy_tree(layer, mount);
	return r < 0 ? error_set(err, r, "find the layer %s: %s", serial, sys_text(r))
		     : take_fd(&mount);
}

int disks_mount_scratch(const char *serial, bool kept, struct error *err)
{
	(void)serial;
	(void)kept;
	return error_set(err, -ENODEV, "there is no scratch disk in this test");
}

int disks_find(const char *serial, struct disks_found *out)
{
	(void)serial;
	(void)out;
	return -ENODEV;
}

bool disks_is_used(const struct disks_found *disk)
{
	(void)disk;
	return false;
}

void devices_look_later(struct agent *agent)
{
	(void)agent; /* none hides */
}

int devices_look(void)
{
	return 0;
}

int devices_release(unsigned slot)
{
	(void)slot;
	return -ENODEV;
}

/* Three bound ports: 16 a pipe for output, 17 a pipe for input, 18 a socket; a listener for guest
 * port 19. The target's own operation is what the other ends do: write, read, close, connect. */
#include "device_fuzz.h"
#include "devices/virtio_vsock.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { OUT, IN, BOTH, ENDS };

static int ends[ENDS];
static struct sockaddr_un name;
static socklen_t name_size;

static int make_listener(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	name = (struct sockaddr_un){ .sun_family = AF_UNIX };
	name_size = sizeof name;
	CHECK(bind(fd, (struct sockaddr *)&name, sizeof(sa_family_t)) == 0);
	CHECK(listen(fd, 2) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&name, &name_size) == 0);
	return fd;
}

static void move(int fd, bool read_it)
{
	static char bytes[5000];

	if (fd < 0)
		return;
	if (read_it)
		(void)!read(fd, bytes, sizeof bytes);
	else
		(void)!write(fd, bytes, sizeof bytes);
}

static void other_end(struct fuzz *fuzz, uint8_t operand)
{
	int *fd = &ends[operand % ENDS], client;

	switch (operand / 16 % 5) {
	case 0:
		move(*fd, true);
		break;
	case 1:
		move(*fd, false);
		break;
	case 2:
		if (*fd >= 0)
			(void)close(*fd);
		*fd = -1;
		break;
	case 3:
		client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(client, (struct sockaddr *)&name, name_size);
		(void)close(client);
		break;
	default:
		virtio_vsock_end(fuzz->device);
		break;
	}
}

static void bind_all(struct virtio_device *device)
{
	int p[2];

	CHECK(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(virtio_vsock_bind(device, 16, p[1], VSOCK_WRITE) == 0);
	ends[OUT] = p[0];
	CHECK(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(virtio_vsock_bind(device, 17, p[0], VSOCK_READ) == 0);
	ends[IN] = p[1];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p) == 0);
	CHECK(virtio_vsock_bind(device, 18, p[0], VSOCK_BOTH) == 0);
	ends[BOTH] = p[1];
	CHECK(virtio_vsock_listen(device, make_listener(), 19) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct virtio_vsock_config config = { .guest_cid = 3,
						    .max_streams = 4,
						    .buffer_size = 8192 };
	struct virtio_device *device;

	CHECK(virtio_vsock_create(&config, &device) == 0);
	bind_all(device);
	fuzz_device(data, size, device, other_end);
	for (int i = 0; i < ENDS; i++)
		if (ends[i] >= 0)
			(void)close(ends[i]);
	return 0;
}

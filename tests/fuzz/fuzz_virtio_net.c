/* A network device with two queue pairs on sockets that play the tap. The target's own operation is
 * what the host does: it sends a packet, reads some, moves the cable, goes away. */
#include "device_fuzz.h"
#include "devices/virtio_net.h"
#include <sys/socket.h>

static int ends[2];

static void host(struct fuzz *fuzz, uint8_t operand)
{
	static uint8_t bytes[70000];
	int *end = &ends[operand >> 2 & 1];

	switch (operand % 4) {
	case 0:
		if (*end >= 0)
			(void)!send(*end, bytes, (size_t)(operand >> 3) * 2200,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 1:
		for (int i = 0; *end >= 0 && i < 8; i++)
			(void)!recv(*end, bytes, sizeof bytes, MSG_DONTWAIT);
		break;
	case 2:
		virtio_net_set_link(fuzz->device, operand & 8);
		break;
	default:
		if (operand < 240)
			return;
		if (*end >= 0)
			(void)close(*end);
		*end = -1;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_net_setup config = { .pair_count = 2, .mac = { 2 }, .mtu = 1500 };
	struct virtio_device *device;

	for (int i = 0; i < 2; i++) {
		int pair[2];

		CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		config.fds[i] = pair[0];
		ends[i] = pair[1];
	}
	CHECK(virtio_net_create(&config, &device) == 0);
	fuzz_device(data, size, device, host);
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			(void)close(ends[i]);
	return 0;
}

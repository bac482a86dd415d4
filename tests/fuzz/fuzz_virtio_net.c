/* The first byte chooses: a network device with two queue pairs on sockets that play the tap, or
 * one on a stream socket. The target's own operation is what the host does: it sends a packet (on a
 * stream bytes that begin with a length, possible or not), reads some, moves the cable, goes away.
 */
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
		bytes[2] = operand >> 4; /* of a frame's length */
		if (*end >= 0)
			(void)!send(*end, bytes, (size_t)(operand >> 3) * 2200,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 1:
		for (int i = 0; *end >= 0 && i < 8; i++)
			(void)!recv(*end, bytes + 4, sizeof bytes - 4, MSG_DONTWAIT);
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
	struct virtio_net_setup setup = { .pair_count = 2, .mac = { 2 }, .mtu = 1500 };
	struct virtio_device *device;
	int kind = SOCK_SEQPACKET;

	if (size == 0)
		return 0;
	if (data[0] & 1) {
		setup.is_stream = true;
		setup.pair_count = 1;
		kind = SOCK_STREAM;
	}
	ends[1] = -1;
	for (unsigned i = 0; i < setup.pair_count; i++) {
		int pair[2];

		CHECK(socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, pair) == 0);
		setup.fds[i] = pair[0];
		ends[i] = pair[1];
	}
	CHECK(virtio_net_create(&setup, &device) == 0);
	fuzz_device(data + 1, size - 1, device, host);
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			(void)close(ends[i]);
	return 0;
}

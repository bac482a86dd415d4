/* A console on two pipes that nobody waits for. The target's own operation is what the other ends
 * do: read the output, type, close. */
#include "device_fuzz.h"
#include "devices/virtio_console.h"
#include <fcntl.h>

static int output[2], input[2];

static void close_end(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void other_end(struct fuzz *fuzz, uint8_t operand)
{
	static uint8_t bytes[5000];

	(void)fuzz;
	switch (operand % 4) {
	case 0:
		if (output[0] >= 0)
			(void)!read(output[0], bytes, sizeof bytes);
		break;
	case 1:
		if (input[1] >= 0)
			(void)!write(input[1], bytes, operand);
		break;
	case 2:
		close_end(&output[0]);
		break;
	default:
		close_end(&input[1]);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_console_config config = { 0 };
	struct virtio_device *device;

	CHECK(pipe2(output, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(pipe2(input, O_CLOEXEC | O_NONBLOCK) == 0);
	config.output_fd = output[1];
	config.input_fd = input[0];
	CHECK(virtio_console_create(&config, &device) == 0);
	fuzz_device(data, size, device, other_end);
	for (int i = 0; i < 2; i++) {
		close_end(&output[i]);
		close_end(&input[i]);
	}
	return 0;
}

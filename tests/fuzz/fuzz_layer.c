/* A tar from anybody: the first two bytes choose how many layers the rest is cut into and in what
 * pieces it arrives. Whatever it is, the answer is an image without contradictions or an error. */
#include "base/check.h"
#include "runtime/layer/pack.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size, layer_size, layer_left, step;
};

static int next(void *context, const uint8_t **data, size_t *size, struct error *err)
{
	struct input *input = context;
	size_t n = input->size < input->layer_left ? input->size : input->layer_left;

	(void)err;
	if (n == 0) {
		input->layer_left = input->layer_size;
		return 0;
	}
	n = n < input->step ? n : input->step;
	*data = input->data;
	*size = n;
	input->data += n;
	input->size -= n;
	input->layer_left -= n;
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pack_options options = { .max_entries = 4096 };
	struct tar_source source = { .next = next };
	struct input input = { 0 };
	struct pack_result result;
	struct error err;
	unsigned layer;
	int fd;

	if (size < 2)
		return 0;
	options.layer_count = 1 + data[0] % 3;
	options.bottom = data[0] & 0x80;
	input = (struct input){ .data = data + 2,
				.size = size - 2,
				.step = data[1] ? data[1] * 7u : SIZE_MAX };
	input.layer_size = (input.size / options.layer_count + 511) / 512 * 512;
	input.layer_left = input.layer_size;
	source.context = &input;
	fd = memfd_create("image", MFD_CLOEXEC);
	CHECK(fd >= 0);
	if (pack_layers(&source, &options, fd, &layer, &result, &err) == 0)
		CHECK(result.image_bytes % 4096 == 0 && result.inodes > 0);
	(void)close(fd);
	return 0;
}

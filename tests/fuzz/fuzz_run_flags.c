/* The input is a command line of `katavm run`, its words divided by zero bytes. */
#include "runtime/spec.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct command command = {
	.name = "run",
	.arguments = "IMAGE",
	.options = run_options,
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.stops_at_argument = true,
};

static void make(const struct options *options, struct arena *arena)
{
	struct image_config image = { 0 };
	struct run_config config;
	struct spec_input input = { .config = &config, .image = &image, .layer_count = 1 };
	Katavm__Agent__V1__CreateContainerRequest *request;
	struct error err;

	if (run_config_make(options, arena, &config, &err) < 0)
		return;
	config.env_files.count = 0; /* no files of this machine */
	if (spec_make(&input, arena, &request, &err) == 0 &&
	    protobuf_c_message_get_packed_size(&request->base) == 0)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1), *words[64];
	struct options options = { 0 };
	struct arena arena = { 0 };
	struct error err;
	size_t count = 0;

	if (!text)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	for (size_t at = 0; at < size && count < 64; at += strlen(text + at) + 1)
		words[count++] = text + at;
	if (options_parse(&command, count, words, &options, &err) == 0 &&
	    options_check_arguments(&options, &err) == 0)
		make(&options, &arena);
	options_finish(&options);
	arena_finish(&arena);
	free(text);
	return 0;
}

/* The two confined children. Both are sealed before they read the first byte of a layer. */
#include "runtime/layer/child.h"

#include "base/sys.h"
#include "runtime/layer/confine.h"
#include "runtime/layer/frame.h"
#include "runtime/layer/inflate.h"
#include "runtime/layer/pack.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { INPUT = 256 << 10 };

static struct frame frame;
static uint8_t input[INPUT];

static int next_input(void *context, const uint8_t **data, size_t *size)
{
	long n = SYS_RETRY(read, CHILD_FILE, input, sizeof input);

	(void)context;
	if (n <= 0)
		return (int)n;
	*data = input;
	*size = (size_t)n;
	return 1;
}

static int flush_output(void *context, size_t size)
{
	(void)context;
	frame.kind = FRAME_DATA;
	return frame_send(CHILD_SOCKET, &frame, size);
}

static bool parse_number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0';
}

static unsigned layer; /* that pack_child is at */

static int inflate_child(char **words, struct error *err)
{
	struct inflate_io io = { .next = next_input,
				 .buffer = frame.data,
				 .room = sizeof frame.data,
				 .flush = flush_output };
	struct confine_limits limits = { 0 };
	uint64_t compression, mib;
	int r;

	if (!parse_number(words[0], &compression) || compression > LAYER_ZSTD ||
	    !parse_number(words[1], &mib))
		return error_set(err, -EINVAL, "bad words for a layer's child");
	limits.memory_bytes = mib << 20;
	r = confine(&limits, err);
	if (r == 0)
		r = inflate_stream(&io, (enum layer_compression)compression, err);
	if (r < 0)
		return r;
	frame.kind = FRAME_END;
	return frame_send(CHILD_SOCKET, &frame, 0);
}

static int next_frame(void *context, const uint8_t **data, size_t *size, struct error *err)
{
	int r = frame_receive(CHILD_SOCKET, &frame, size);

	(void)context;
	if (r == 1 && frame.kind == FRAME_DATA && *size) {
		*data = frame.data;
		return 1;
	}
	if (r == 1 && frame.kind == FRAME_END)
		return 0;
	return error_set(err, r < 0 ? r : -ECANCELED, "the conversion was given up");
}

static bool parse_uuid(const char *text, uint8_t out[16])
{
	if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
		return false;
	for (size_t i = 0; i < 16; i++) {
		char digits[3] = { text[2 * i], text[2 * i + 1], '\0' };

		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return true;
}

static int pack_child(char **words, struct error *err)
{
	struct tar_source source = { .next = next_frame };
	struct confine_limits limits = { .writes_file = true };
	struct pack_options options = { 0 };
	uint64_t layers, bottom, mib;
	struct pack_result result;
	int r;

	if (!parse_number(words[0], &layers) || layers > UINT16_MAX ||
	    !parse_number(words[1], &bottom) || !parse_number(words[2], &options.max_entries) ||
	    !parse_number(words[3], &limits.file_bytes) || !parse_number(words[4], &mib) ||
	    !parse_uuid(words[5], options.uuid))
		return error_set(err, -EINVAL, "bad words for a layer's child");
	options.layer_count = (unsigned)layers;
	options.bottom = bottom != 0;
	limits.memory_bytes = mib << 20;
	r = confine(&limits, err);
	if (r == 0)
		r = pack_layers(&source, &options, CHILD_FILE, &layer, &result, err);
	if (r < 0)
		return r;
	frame.kind = FRAME_RESULT;
	memcpy(frame.data, &result, sizeof result);
	return frame_send(CHILD_SOCKET, &frame, sizeof result);
}

static void send_error(int code, const struct error *err)
{
	struct frame_error report = { .code = code, .layer = (int32_t)layer };

	memcpy(report.text, err->text, sizeof report.text);
	frame.kind = FRAME_ERROR;
	memcpy(frame.data, &report, sizeof report);
	(void)frame_send(CHILD_SOCKET, &frame, sizeof report);
}

int layer_main(int argc, char **argv)
{
	struct error err = { .text = "bad words for a layer's child" };
	int r = -EINVAL;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 4 && strcmp(argv[1], "inflate") == 0)
		r = inflate_child(argv + 2, &err);
	else if (argc == 8 && strcmp(argv[1], "pack") == 0)
		r = pack_child(argv + 2, &err);
	else
		(void)fprintf(stderr, "katavm-layer is started by katavm itself\n");
	if (r < 0)
		send_error(r, &err);
	/* nothing that runs at exit is wanted, or allowed, here */
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/*
 * The caller's side of a conversion: blob -> inflate child -> here -> pack child -> image.
 *
 * Only this process may say that the bytes are those of a diff_id, so all of them pass through
 * here: they are received, hashed and sent on, and looked at by nobody. The tar reader gets the end
 * of a layer only when the hash was right, and the image counts only when the tar reader said so.
 * Frames are taken from both children as from strangers.
 */
#include "base/own.h"
#include "base/sys.h"
#include "runtime/erofs/erofs.h"
#include "runtime/image/digest.h"
#include "runtime/layer/child.h"
#include "runtime/layer/frame.h"
#include "runtime/layer/layer_child.h"
#include "runtime/layer/pack.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_INPUTS = 512, PROGRESS_STEP = 1 << 20 };

struct convert {
	const struct layer_request *request;
	struct layer_limits limits;
	struct layer_child inflate, pack;
	struct frame *frame;
	struct digester digester;
	uint64_t tar_bytes, told_bytes;
	size_t at; /* the input that an error speaks of; the packer may be behind the inflater */
	char diff_id[IMAGE_DIGEST_SIZE];
};

static struct layer_limits with_defaults(const struct layer_limits *given)
{
	struct layer_limits limits = *given;

	if (!limits.max_tar_bytes)
		limits.max_tar_bytes = UINT64_C(64) << 30;
	if (!limits.max_image_bytes)
		limits.max_image_bytes = UINT64_C(128) << 30;
	if (!limits.max_entries)
		limits.max_entries = 4 << 20;
	if (!limits.max_memory_mib)
		limits.max_memory_mib = 2048;
	return limits;
}

static int check_request(const struct layer_request *request, struct error *err)
{
	struct stat status;
	int r = (int)SYS(fstat, request->image_fd, &status);

	if (r == 0 && (!S_ISREG(status.st_mode) || !request->input_count ||
		       request->input_count > MAX_INPUTS))
		r = -EINVAL;
	if (r == 0)
		r = (int)SYS(ftruncate, request->image_fd, 0);
	return r < 0 ? error_set(err, r, "prepare the image's file: %s", sys_text(r)) : 0;
}

/* A UUID of version 8 (any use) from the top layer's diff_id, so that images differ and the same
 * layers always give the same image. */
static void make_uuid(const struct layer_request *request, char out[33])
{
	const char *diff_id = request->inputs[request->input_count - 1].diff_id;

	(void)snprintf(out, 33, "%032d", 0);
	if (diff_id && strlen(diff_id) >= 7 + 32)
		memcpy(out, diff_id + 7, 32);
	out[12] = '8';
	out[16] = 'a';
}

static int start_pack(struct convert *convert, struct error *err)
{
	const struct layer_limits *limits = &convert->limits;
	char layers[24], entries[24], bytes[24], memory[24], uuid[33];
	const char *words[] = {
		"pack", layers, convert->request->bottom ? "1" : "0", entries, bytes, memory,
		uuid,   NULL,
	};

	(void)snprintf(layers, sizeof layers, "%zu", convert->request->input_count);
	(void)snprintf(entries, sizeof entries, "%" PRIu64, limits->max_entries);
	(void)snprintf(bytes, sizeof bytes, "%" PRIu64, limits->max_image_bytes);
	(void)snprintf(memory, sizeof memory, "%" PRIu64, limits->max_memory_mib);
	make_uuid(convert->request, uuid);
	return layer_child_start(words, convert->request->image_fd, &convert->pack, err);
}

static int start_inflate(struct convert *convert, const struct layer_input *input,
			 struct error *err)
{
	char compression[12], memory[24];
	const char *words[] = { "inflate", compression, memory, NULL };

	(void)snprintf(compression, sizeof compression, "%d", (int)input->compression);
	(void)snprintf(memory, sizeof memory, "%d", (int)CHILD_INFLATE_MIB);
	return layer_child_start(words, input->fd, &convert->inflate, err);
}

/* The sentence of a child, made fit for a terminal; it may have been taken over by the layer. */
static int child_error(struct convert *convert, bool is_packer, size_t size, struct error *err)
{
	struct frame_error report;
	char text[sizeof report.text + 1];

	if (size != sizeof report)
		return error_set(err, -EPROTO, "a layer's converter misbehaves");
	memcpy(&report, convert->frame->data, sizeof report);
	report.text[sizeof report.text - 1] = '\0';
	(void)log_escape(report.text, strlen(report.text), text, sizeof text);
	if (report.code >= 0 || report.code < -4095)
		report.code = -EPROTO;
	if (is_packer && report.layer >= 0 && (size_t)report.layer < convert->request->input_count)
		convert->at = (size_t)report.layer;
	return error_set(err, report.code, "%s", text);
}

/* A child that ended without a word. */
static int child_death(struct layer_child *child, struct error *err)
{
	int number = layer_child_end(child);

	if (number)
		return error_set(err, -ECANCELED, "a layer's converter was ended by SIG%s",
				 sigabbrev_np(number) ? sigabbrev_np(number) : "?");
	return error_set(err, -ECANCELED, "a layer's converter ended without a result");
}

/* After the tar reader went away or has all it needs: its last frame. */
static int last_words(struct convert *convert, struct pack_result *result, struct error *err)
{
	size_t size;
	int r = frame_receive(convert->pack.socket, convert->frame, &size);

	if (r == 0 || r == -ECONNRESET)
		return child_death(&convert->pack, err);
	if (r == 1 && convert->frame->kind == FRAME_ERROR)
		return child_error(convert, true, size, err);
	if (r != 1 || convert->frame->kind != FRAME_RESULT || size != sizeof *result || !result)
		return error_set(err, -EPROTO, "a layer's converter misbehaves");
	memcpy(result, convert->frame->data, sizeof *result);
	return 0;
}

static int send_on(struct convert *convert, size_t size, struct error *err)
{
	int r = frame_send(convert->pack.socket, convert->frame, size);

	if (r == -EPIPE)
		return last_words(convert, NULL, err);
	return r < 0 ? error_set(err, r, "pass on a layer: %s", sys_text(r)) : 0;
}

static int report_progress(struct convert *convert, size_t input, struct error *err)
{
	const struct layer_request *request = convert->request;
	int r;

	if (!request->progress || convert->tar_bytes - convert->told_bytes < PROGRESS_STEP)
		return 0;
	convert->told_bytes = convert->tar_bytes;
	r = request->progress(request->context, input, convert->tar_bytes);
	return r < 0 ? error_set(err, r, "the conversion was cancelled") : 0;
}

static int pass_data(struct convert *convert, size_t input, size_t size, struct error *err)
{
	uint64_t max = convert->limits.max_tar_bytes;
	int r;

	if (size > max - convert->tar_bytes)
		return error_set(err, -E2BIG, "the layers unpack to more than %" PRIu64 " bytes",
				 max);
	convert->tar_bytes += size;
	r = digester_add(&convert->digester, convert->frame->data, size);
	if (r < 0)
		return error_set(err, r, "hash a layer");
	r = send_on(convert, size, err);
	return r < 0 ? r : report_progress(convert, input, err);
}

static int check_diff_id(struct convert *convert, const char *expected, struct error *err)
{
	int r = digester_end(&convert->digester, convert->diff_id);

	if (r < 0)
		return error_set(err, r, "hash a layer");
	if (expected && strcmp(expected, convert->diff_id) != 0)
		return error_set(err, -EBADMSG, "the layer unpacks to %s, not to its diff id %s",
				 convert->diff_id, expected);
	return 0;
}

static int pass_layer(struct convert *convert, size_t input, struct error *err)
{
	struct frame *frame = convert->frame;
	size_t size;
	int r;

	for (;;) {
		r = frame_receive(convert->inflate.socket, frame, &size);
		if (r == 0 || r == -ECONNRESET)
			return child_death(&convert->inflate, err);
		if (r == 1 && frame->kind == FRAME_ERROR)
			return child_error(convert, false, size, err);
		if (r == 1 && frame->kind == FRAME_END)
			break;
		if (r != 1 || frame->kind != FRAME_DATA || !size)
			return error_set(err, -EPROTO, "a layer's converter misbehaves");
		r = pass_data(convert, input, size, err);
		if (r < 0)
			return r;
	}
	r = check_diff_id(convert, convert->request->inputs[input].diff_id, err);
	if (r < 0)
		return r;
	frame->kind = FRAME_END;
	return send_on(convert, 0, err);
}

static int convert_layer(struct convert *convert, size_t input, struct error *err)
{
	int r = digester_init(&convert->digester, err);

	if (r < 0)
		return r;
	convert->at = input;
	r = start_inflate(convert, &convert->request->inputs[input], err);
	if (r == 0)
		r = pass_layer(convert, input, err);
	(void)layer_child_end(&convert->inflate);
	digester_finish(&convert->digester);
	return r;
}

/* "layer 3: …", by its number in the image. */
static int in_layer(const struct convert *convert, int r, const struct error *inner,
		    struct error *err)
{
	unsigned number = convert->request->inputs[convert->at].number;

	return error_set(err, r, "layer %zu: %s", number ? number : convert->at + 1, inner->text);
}

static int convert_all(struct convert *convert, struct pack_result *packed, struct error *err)
{
	struct error inner;
	int r = start_pack(convert, &inner);

	for (size_t i = 0; r == 0 && i < convert->request->input_count; i++)
		r = convert_layer(convert, i, &inner);
	if (r == 0)
		r = last_words(convert, packed, &inner);
	(void)layer_child_end(&convert->pack);
	return r < 0 ? in_layer(convert, r, &inner, err) : 0;
}

/* What the tar reader says of the file is not believed. */
static int check_image(const struct layer_request *request, const struct pack_result *packed,
		       struct error *err)
{
	struct stat status;
	int r = (int)SYS(fstat, request->image_fd, &status);

	if (r == 0 && (status.st_size <= 0 || status.st_size % 4096 ||
		       (uint64_t)status.st_size != packed->image_bytes))
		r = -EPROTO;
	return r < 0 ? error_set(err, r, "look at the image: %s", sys_text(r)) : 0;
}

int layer_marks(int image_fd, struct layer_marks *out)
{
	char label[EROFS_LABEL_SIZE];
	int r = erofs_read_label(image_fd, label);

	if (r < 0)
		return r;
	out->is_opaque = strcmp(label, PACK_LABEL_OPAQUE) == 0;
	out->is_implied = strcmp(label, PACK_LABEL_IMPLIED) == 0;
	return 0;
}

int layer_convert(const struct layer_request *request, struct layer_result *result,
		  struct error *err)
{
	own_mem void *frame = malloc(sizeof(struct frame));
	struct convert convert = { .request = request,
				   .limits = with_defaults(&request->limits),
				   .frame = frame };
	struct pack_result packed = { 0 };
	int r;

	if (!frame)
		return error_set(err, -ENOMEM, "convert a layer: out of memory");
	r = check_request(request, err);
	if (r == 0)
		r = convert_all(&convert, &packed, err);
	if (r == 0)
		r = check_image(request, &packed, err);
	if (r < 0)
		return r;
	*result = (struct layer_result){ .image_bytes = packed.image_bytes,
					 .inodes = packed.inodes,
					 .tar_bytes = convert.tar_bytes };
	memcpy(result->diff_id, convert.diff_id, sizeof result->diff_id);
	return 0;
}

/* Whole conversions, with the real children: this program is also the one they are. */
#include "base/own.h"
#include "base/sys.h"
#include "erofs_reader.h"
#include "runtime/image/digest.h"
#include "runtime/layer/layer.h"
#include "tar_writer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

static struct error err;

/* A tar of a few files, the last one of `size` bytes that do not compress to nothing. */
static struct tarball sample(size_t size)
{
	struct tarball tar = { 0 };
	uint32_t *noise = malloc(size + sizeof *noise);

	for (size_t i = 0; i < size / sizeof *noise + 1; i++)
		noise[i] = (uint32_t)(i * 2654435761u >> 7);
	tarball_add(&tar, FOLDER("etc"));
	tarball_add(&tar, FILE_OF("etc/hostname", "katavm\n"));
	tarball_add(&tar, (struct tar_member){ .path = "noise", .content = noise, .size = size });
	tarball_end(&tar);
	free(noise);
	return tar;
}

static int file_of(const void *data, size_t size)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);

	cr_assert(fd >= 0 && sys_write_all(fd, data, size) == 0);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* The tar `copies` times in as many gzip members of one file. */
static int gzip_of(const struct tarball *tar, size_t cut)
{
	size_t room = tar->size + 65536, half = tar->size / 2;
	uint8_t *out = malloc(room);
	z_stream stream = { 0 };
	int fd;

	cr_assert_eq(deflateInit2(&stream, 1, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_out = out;
	stream.avail_out = (uInt)room;
	for (size_t member = 0; member < 2; member++) {
		stream.next_in = (Bytef *)tar->data + member * half;
		stream.avail_in = (uInt)(member ? tar->size - half : half);
		cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
		room = (size_t)(stream.next_out - out);
		(void)deflateReset(&stream);
		stream.avail_out = (uInt)(tar->size + 65536 - room);
		stream.next_out = out + room;
	}
	(void)deflateEnd(&stream);
	fd = file_of(out, room - cut);
	free(out);
	return fd;
}

static int zstd_of(const struct tarball *tar, size_t cut)
{
	size_t room = ZSTD_compressBound(tar->size);
	uint8_t *out = malloc(room);
	size_t size = ZSTD_compress(out, room, tar->data, tar->size, 1);
	int fd;

	cr_assert(!ZSTD_isError(size));
	fd = file_of(out, size - cut);
	free(out);
	return fd;
}

static int convert(int fd, enum layer_compression compression, const char *diff_id,
		   struct layer_limits limits, struct layer_result *result)
{
	own_fd layer = fd;
	own_fd image_fd = memfd_create("image", MFD_CLOEXEC);
	struct layer_input input = { .fd = layer, .compression = compression, .diff_id = diff_id };
	struct layer_request request = { .inputs = &input,
					 .input_count = 1,
					 .bottom = true,
					 .image_fd = image_fd,
					 .limits = limits };
	struct view_inode inode;
	struct view image;
	int r = layer_convert(&request, result, &err);

	if (r < 0)
		return r;
	view_load(&image, image_fd);
	view_check(&image);
	cr_assert(view_find(&image, "etc/hostname", &inode));
	view_finish(&image);
	return 0;
}

static const struct layer_limits defaults;

Test(convert, every_compression)
{
	struct tarball tar = sample(3 << 20);
	struct layer_result result;
	char diff_id[IMAGE_DIGEST_SIZE];
	int r;

	cr_assert_eq(digest_memory(tar.data, tar.size, diff_id, &err), 0, "%s", err.text);
	r = convert(file_of(tar.data, tar.size), LAYER_AUTO, diff_id, defaults, &result);
	cr_assert_eq(r, 0, "%s", err.text);
	cr_assert_eq(result.tar_bytes, tar.size);
	cr_assert_eq(result.inodes, 4);
	cr_assert_str_eq(result.diff_id, diff_id);
	r = convert(gzip_of(&tar, 0), LAYER_AUTO, diff_id, defaults, &result);
	cr_assert_eq(r, 0, "%s", err.text);
	r = convert(gzip_of(&tar, 0), LAYER_GZIP, NULL, defaults, &result);
	cr_assert_eq(r, 0, "%s", err.text);
	cr_assert_str_eq(result.diff_id, diff_id);
	r = convert(zstd_of(&tar, 0), LAYER_AUTO, diff_id, defaults, &result);
	cr_assert_eq(r, 0, "%s", err.text);
	tarball_finish(&tar);
}

Test(convert, damaged_layers)
{
	struct tarball tar = sample(300000);
	struct layer_result result;
	static const char wrong[] =
	    "sha256:0000000000000000000000000000000000000000000000000000000000000000";
	int r;

	r = convert(gzip_of(&tar, 0), LAYER_AUTO, wrong, defaults, &result);
	cr_assert_eq(r, -EBADMSG);
	cr_assert(strstr(err.text, "not to its diff id sha256:00"), "%s", err.text);
	r = convert(gzip_of(&tar, 100), LAYER_AUTO, NULL, defaults, &result);
	cr_assert_eq(r, -EBADMSG);
	cr_assert(strstr(err.text, "truncated"), "%s", err.text);
	r = convert(zstd_of(&tar, 100), LAYER_AUTO, NULL, defaults, &result);
	cr_assert_eq(r, -EBADMSG);
	cr_assert(strstr(err.text, "truncated"), "%s", err.text);
	r = convert(file_of(tar.data, 300000), LAYER_AUTO, NULL, defaults, &result);
	cr_assert_eq(r, -EBADMSG);
	cr_assert(strstr(err.text, "layer 1: noise: the tar ends too early"), "%s", err.text);
	r = convert(file_of("\xfd"
			    "7zXZ\0",
			    6),
		    LAYER_AUTO, NULL, defaults, &result);
	cr_assert_eq(r, -ENOTSUP);
	cr_assert_str_eq(err.text, "layer 1: it is compressed with xz, not gzip or zstd");
	r = convert(file_of("", 0), LAYER_AUTO, NULL, defaults, &result);
	cr_assert_eq(r, -EBADMSG);
	r = convert(zstd_of(&tar, 0), LAYER_GZIP, NULL, defaults, &result);
	cr_assert_eq(r, -EBADMSG);
	cr_assert(strstr(err.text, "gzip data is damaged"), "%s", err.text);
	tarball_finish(&tar);
}

Test(convert, limits)
{
	struct tarball tar = sample(3 << 20);
	struct layer_result result;
	int r = convert(gzip_of(&tar, 0), LAYER_AUTO, NULL,
			(struct layer_limits){ .max_tar_bytes = 1 << 20 }, &result);

	cr_assert_eq(r, -E2BIG, "%d %s", r, err.text);
	r = convert(gzip_of(&tar, 0), LAYER_AUTO, NULL, (struct layer_limits){ .max_entries = 2 },
		    &result);
	cr_assert_eq(r, -E2BIG, "%d %s", r, err.text);
	cr_assert(strstr(err.text, "more than 2 entries"), "%s", err.text);
	r = convert(gzip_of(&tar, 0), LAYER_AUTO, NULL,
		    (struct layer_limits){ .max_image_bytes = 1 << 20 }, &result);
	cr_assert_eq(r, -E2BIG, "%d %s", r, err.text);
	cr_assert(strstr(err.text, "size limit"), "%s", err.text);
	tarball_finish(&tar);
}

static int cancel(void *context, size_t input, uint64_t tar_bytes)
{
	(void)input;
	(void)tar_bytes;
	return *(int *)context;
}

Test(convert, cancelled)
{
	struct tarball tar = sample(3 << 20);
	own_fd layer = file_of(tar.data, tar.size);
	own_fd image = memfd_create("image", MFD_CLOEXEC);
	struct layer_input input = { .fd = layer };
	int answer = -EINTR;
	struct layer_request request = { .inputs = &input,
					 .input_count = 1,
					 .image_fd = image,
					 .progress = cancel,
					 .context = &answer };
	struct layer_result result;

	cr_assert_eq(layer_convert(&request, &result, &err), -EINTR);
	tarball_finish(&tar);
}

int main(int argc, char **argv)
{
	struct criterion_test_set *tests;
	int status;

	if (strcmp(argv[0], LAYER_ROLE) == 0)
		return layer_main(argc, argv);
	tests = criterion_initialize();
	status = criterion_handle_args(argc, argv, true) && !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return status;
}

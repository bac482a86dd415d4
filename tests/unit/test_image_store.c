#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/gc.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char folder[] = "/tmp/test-image-store-XXXXXX";
static struct store store;

static void set_up(void)
{
	struct error err = { 0 };

	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(store_open(folder, &store, &err), 0, "%s", err.text);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static void tear_down(void)
{
	store_close(&store);
	(void)nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(image_store, .init = set_up, .fini = tear_down);

static void write_file(int dir_fd, const char *name, const char *text)
{
	own_fd fd = (int)SYS(openat, dir_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(sys_write_all(fd, text, strlen(text)), 0);
}

/* What a damaged image needs is not known, so nothing is removed. */
Test(image_store, damaged_record_ends_the_removal)
{
	static const struct record other = { .layer_count = 0 };
	struct gc_result result = { 0 };
	struct error err = { 0 };

	write_file(store.images_fd, HEX ".json", "{ damaged");
	write_file(store.blobs_fd, HEX, "kept");
	cr_assert_lt(gc_objects(&store, &result, &err), 0);
	cr_assert_neq(err.text[0], '\0');
	cr_assert_eq(faccessat(store.blobs_fd, HEX, F_OK, 0), 0);
	cr_assert_lt(gc_check_unused(&store, &other, &err), 0);
	gc_result_finish(&result);
}

Test(image_store, what_no_image_has_is_removed)
{
	struct gc_result result = { 0 };
	struct error err = { 0 };

	write_file(store.layers_fd, HEX ".erofs", "old");
	write_file(store.blobs_fd, HEX, "old");
	cr_assert_eq(gc_objects(&store, &result, &err), 0, "%s", err.text);
	cr_assert_eq(faccessat(store.blobs_fd, HEX, F_OK, 0), -1);
	cr_assert_eq(faccessat(store.layers_fd, HEX ".erofs", F_OK, 0), -1);
	gc_result_finish(&result);
}

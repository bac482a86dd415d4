#include "base/sys.h"
#include "runtime/volume.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/test-volume.XXXXXX";
static char seen[256];
static struct error err;

static void set_up(void)
{
	cr_assert(mkdtemp(root));
}

static void tear_down(void)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/volumes", root);
	cr_expect_eq(rmdir(path), 0, "something is left in %s", path);
	(void)rmdir(root);
}

static int note(void *context, const struct volume_entry *entry)
{
	(void)context;
	(void)strncat(seen, entry->name, 40);
	(void)strncat(seen, entry->in_use ? "+ " : " ", 3);
	return 0;
}

static const char *list(void)
{
	seen[0] = '\0';
	cr_assert_eq(volumes_visit(root, note, NULL, &err), 0, "%s", err.text);
	return seen;
}

TestSuite(volume, .init = set_up, .fini = tear_down);

Test(volume, is_made_on_first_use_and_keeps_what_is_in_it)
{
	struct volume volume;
	int fd;

	cr_assert_eq(volume_open(root, "data", &volume, &err), 0, "%s", err.text);
	cr_expect(volume.made);
	fd = openat(volume.fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_expect_geq(fd, 0);
	(void)close(fd);
	volume_close(&volume);
	cr_assert_eq(volume_open(root, "data", &volume, &err), 0, "%s", err.text);
	cr_expect_not(volume.made);
	cr_expect_eq(faccessat(volume.fd, "file", F_OK, 0), 0);
	volume_close(&volume);
	cr_expect_eq(volume_remove(root, "data", &err), 0, "%s", err.text);
	cr_expect_str_eq(list(), "");
}

Test(volume, one_in_use_stays_and_two_may_use_it)
{
	struct volume first, second;

	cr_assert_eq(volume_open(root, "shared", &first, &err), 0, "%s", err.text);
	cr_assert_eq(volume_open(root, "shared", &second, &err), 0, "%s", err.text);
	cr_expect_str_eq(list(), "shared+ ");
	cr_expect_eq(volume_remove(root, "shared", &err), -EBUSY);
	volume_close(&first);
	cr_expect_eq(volume_remove(root, "shared", &err), -EBUSY);
	volume_close(&second);
	cr_expect_str_eq(list(), "shared ");
	cr_expect_eq(volume_remove(root, "shared", &err), 0, "%s", err.text);
}

static int check_label(void *context, const struct volume_entry *entry)
{
	struct json_object *value = NULL;

	(void)context;
	cr_expect(json_object_object_get_ex(entry->labels, "a", &value));
	cr_expect_str_eq(json_object_get_string(value), "b");
	cr_expect(strstr(entry->path, "/volumes/one/data"));
	cr_expect_gt(entry->made.tv_sec, 1000000000);
	return 0;
}

Test(volume, labels_are_kept)
{
	struct json_object *labels = json_tokener_parse("{\"a\":\"b\"}");
	bool made;

	cr_assert_eq(volume_create(root, "one", labels, &made, &err), 0, "%s", err.text);
	cr_expect(made);
	cr_assert_eq(volume_create(root, "one", NULL, &made, &err), 0, "%s", err.text);
	cr_expect_not(made);
	(void)json_object_put(labels);
	cr_expect_eq(volume_find(root, "one", check_label, NULL, &err), 0, "%s", err.text);
	cr_expect_eq(volume_find(root, "two", check_label, NULL, &err), -ENOENT);
	cr_expect_eq(volume_remove(root, "one", &err), 0, "%s", err.text);
}

Test(volume, names_are_no_paths)
{
	static const char *const bad[] = { "..", "../x", "a/b", ".new-1", "", "a", "/etc" };
	struct volume volume;
	bool made;

	cr_assert_str_eq(list(), "");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_expect_eq(volume_create(root, bad[i], NULL, &made, &err), -EINVAL, "%s", bad[i]);
		cr_expect_eq(volume_open(root, bad[i], &volume, &err), -EINVAL, "%s", bad[i]);
		cr_expect_eq(volume_remove(root, bad[i], &err), -EINVAL, "%s", bad[i]);
	}
	cr_expect_eq(volume_remove(root, "nothing", &err), -ENOENT);
}

Test(volume, a_failure_leaves_nothing)
{
	struct sys_fault fault = { .call = "renameat2", .result = -EIO, .count = 1 };
	struct volume volume;

	cr_assert_str_eq(list(), "");
	sys_inject(&fault);
	cr_expect_eq(volume_open(root, "half", &volume, &err), -EIO);
	sys_inject(NULL);
	cr_expect_str_eq(list(), "");
}

static void put_file(const struct volume *volume)
{
	int fd = openat(volume->fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	cr_expect_geq(fd, 0);
	(void)close(fd);
}

Test(volume, is_filled_until_a_copy_was_completed)
{
	struct volume volume;

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(volume_open(root, "web", &volume, &err), 0, "%s", err.text);
		cr_expect(volume_wants_content(&volume), "after %d that failed", i);
		if (i > 0) /* the copy began, and was cut off */
			put_file(&volume);
		volume_close(&volume);
	}
	cr_assert_eq(volume_open(root, "web", &volume, &err), 0, "%s", err.text);
	cr_expect(volume_wants_content(&volume));
	volume_filled(&volume);
	cr_expect_eq(unlinkat(volume.fd, "file", 0), 0);
	volume_close(&volume);
	cr_assert_eq(volume_open(root, "web", &volume, &err), 0, "%s", err.text);
	cr_expect_not(volume_wants_content(&volume), "empty is what its user made of it");
	volume_close(&volume);
	cr_expect_eq(volume_remove(root, "web", &err), 0, "%s", err.text);
}

Test(volume, what_its_user_put_there_after_a_failure_is_left_alone)
{
	struct volume volume;

	cr_assert_eq(volume_open(root, "web", &volume, &err), 0, "%s", err.text);
	cr_expect(volume_wants_content(&volume));
	volume_close(&volume);
	cr_assert_eq(volume_open(root, "web", &volume, &err), 0, "%s", err.text);
	put_file(&volume);
	cr_expect_not(volume_wants_content(&volume));
	volume_close(&volume);
	cr_expect_eq(volume_remove(root, "web", &err), 0, "%s", err.text);
}

Test(volume, two_do_not_fill_one)
{
	struct volume first, second;

	cr_assert_eq(volume_open(root, "web", &first, &err), 0, "%s", err.text);
	cr_assert_eq(volume_open(root, "web", &second, &err), 0, "%s", err.text);
	cr_expect(volume_wants_content(&first));
	cr_expect_not(volume_wants_content(&second));
	volume_filled(&second); /* not its to say */
	volume_close(&first);
	cr_expect(volume_wants_content(&second), "the first gave up");
	volume_filled(&second);
	volume_close(&second);
	cr_expect_eq(volume_remove(root, "web", &err), 0, "%s", err.text);
}

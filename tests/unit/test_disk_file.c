#include "runtime/disk_file.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/disk_file.XXXXXX", path[64];
static struct disk_file file;
static struct error err;

static void make(off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	close(fd);
}

static void setup(void)
{
	cr_assert(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/disk", folder);
	make(4096);
}

static void finish(void)
{
	(void)unlink(path);
	(void)rmdir(folder);
}

TestSuite(disk_file, .init = setup, .fini = finish);

Test(disk_file, is_opened_to_wait)
{
	cr_assert_eq(disk_file_open(path, &file, &err), 0, "%s", err.text);
	cr_assert_eq(file.bytes, 4096);
	cr_assert_not(file.is_device);
	cr_assert_eq(fcntl(file.fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDWR);
	close(file.fd);
}

Test(disk_file, one_writer_or_many_readers)
{
	struct disk_file second = { .read_only = true };
	struct disk_file third = { .read_only = true };

	cr_assert_eq(disk_file_open(path, &file, &err), 0);
	cr_assert_eq(disk_file_open(path, &second, &err), -EBUSY);
	cr_assert(strstr(err.text, "in use"), "%s", err.text);
	close(file.fd);
	cr_assert_eq(disk_file_open(path, &second, &err), 0);
	cr_assert_eq(disk_file_open(path, &third, &err), 0);
	cr_assert_eq(disk_file_open(path, &file, &err), -EBUSY);
	close(second.fd);
	close(third.fd);
}

Test(disk_file, is_free_when_it_is_closed_though_a_duplicate_is_left)
{
	int duplicate;

	cr_assert_eq(disk_file_open(path, &file, &err), 0);
	duplicate = dup(file.fd);
	disk_file_close(&file);
	cr_assert_eq(file.fd, -EBADF);
	file.fd = -1;
	cr_assert_eq(disk_file_open(path, &file, &err), 0, "%s", err.text);
	close(duplicate);
	disk_file_close(&file);
}

Test(disk_file, what_is_no_disk)
{
	char fifo[64];

	file.fd = 77;
	cr_assert_eq(disk_file_open("/dev/null", &file, &err), -EINVAL);
	cr_assert_eq(disk_file_open(folder, &file, &err), -EISDIR);
	cr_assert_eq(disk_file_open("/nowhere/at/all", &file, &err), -ENOENT);
	(void)snprintf(fifo, sizeof fifo, "%s/fifo", folder);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_assert_eq(disk_file_open(fifo, &file, &err), -EINVAL);
	(void)unlink(fifo);
	make(4000);
	cr_assert_eq(disk_file_open(path, &file, &err), -EINVAL);
	cr_assert(strstr(err.text, "4000"), "%s", err.text);
	make(0);
	cr_assert_eq(disk_file_open(path, &file, &err), -EINVAL);
	cr_assert_eq(file.fd, 77, "a failure changes nothing");
}

Test(disk_file, only_grows)
{
	struct disk_file reader = { .read_only = true };
	struct stat st;

	cr_assert_eq(disk_file_open(path, &file, &err), 0);
	cr_assert_eq(disk_file_grow(&file, 8192, &err), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, 8192);
	cr_assert_eq(disk_file_grow(&file, 4096, &err), -EINVAL);
	cr_assert_eq(disk_file_grow(&file, 8193, &err), -EINVAL);
	close(file.fd);
	cr_assert_eq(disk_file_open(path, &reader, &err), 0);
	cr_assert_eq(disk_file_grow(&reader, 16384, &err), -EROFS);
	close(reader.fd);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, 8192);
}

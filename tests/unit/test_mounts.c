#include "agent/kernel.h"
#include "agent/mounts.h"
#include <criterion/criterion.h>
#include <errno.h>

#define PARSE(...)                                                                                 \
	__extension__({                                                                            \
		char *words_[] = { __VA_ARGS__ };                                                  \
		mounts_parse(words_, sizeof words_ / sizeof *words_, &options, &err);              \
	})

static struct mount_options options;
static struct error err;

Test(mounts, attributes_and_data)
{
	cr_assert_eq(PARSE("nosuid", "ro", "size=64k", "noexec", "mode=755", "inode64"), 0);
	cr_assert_eq(options.set, KERNEL_MOUNT_NOSUID | KERNEL_MOUNT_RDONLY | KERNEL_MOUNT_NOEXEC);
	cr_assert_eq(options.data_count, 3);
	cr_assert_str_eq(options.data[0], "size=64k");
	cr_assert_str_eq(options.data[2], "inode64");
	cr_assert(!options.bind && !options.copy_up);
}

Test(mounts, later_words_win)
{
	cr_assert_eq(PARSE("ro", "rw", "noatime", "strictatime", "nodev", "dev"), 0);
	cr_assert_eq(options.set, KERNEL_MOUNT_STRICTATIME);
	cr_assert(options.clear & KERNEL_MOUNT_RDONLY);
	cr_assert_eq(PARSE("rw", "ro"), 0);
	cr_assert_eq(options.set, KERNEL_MOUNT_RDONLY);
	cr_assert(!(options.clear & KERNEL_MOUNT_RDONLY));
}

Test(mounts, recursion_and_propagation)
{
	cr_assert_eq(PARSE("rbind", "rro", "rnosuid", "rslave"), 0);
	cr_assert(options.bind && options.recursive_bind);
	cr_assert_eq(options.set, 0);
	cr_assert_eq(options.recursive_set, KERNEL_MOUNT_RDONLY | KERNEL_MOUNT_NOSUID);
	cr_assert_eq(options.propagation, KERNEL_SLAVE);
	cr_assert(options.propagation_recursive);
	cr_assert_eq(PARSE("relatime"), 0, "is not elatime, recursively");
	cr_assert_eq(options.data_count, 0);
	cr_assert_eq(PARSE("remount", "tmpcopyup", "defaults", ""), 0);
	cr_assert(options.remount && options.copy_up);
}

Test(mounts, refusals)
{
	char *many[MOUNTS_MAX_DATA + 1];

	for (size_t i = 0; i <= MOUNTS_MAX_DATA; i++)
		many[i] = (char *)(uintptr_t) "x=y";
	cr_assert_eq(mounts_parse(many, MOUNTS_MAX_DATA + 1, &options, &err), -E2BIG);
	cr_assert_eq(PARSE("idmap"), -EOPNOTSUPP);
	cr_assert_eq(mounts_parse(NULL, 0, &options, &err), 0);
}

#include "agent/users.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# comment:x:7:7::/:\n"
			     "broken\n"
			     "www:x:33:33:a:b:c\n"
			     "web:x:34:35::/var/web:/bin/sh:more:fields\n"
			     "1000:x:2000:2001::/digits:\n"
			     "wild:x:99999999999:1::/:\n"
			     "last:x:50:51::/last";
static const char group[] = "root:x:0:\nstaff:x:50:web,www\nweb:x:35:\nempty:x:60:,\n::\n"
			    "webs:x:61:webby\nsix:x:62:x,web";

static struct user found;
static struct error err;

static int resolve(const char *name)
{
	message_user wanted;

	katavm__agent__v1__user__init(&wanted);
	wanted.name = (char *)(uintptr_t)name;
	err = (struct error){ 0 };
	return users_resolve(&wanted, passwd, group, &found, &err);
}

Test(users, names_and_numbers)
{
	cr_assert_eq(resolve("root"), 0);
	cr_assert_eq(found.uid + found.gid, 0);
	cr_assert_str_eq(found.home, "/root");
	cr_assert_eq(resolve("web"), 0);
	cr_assert_eq(found.uid, 34);
	cr_assert_eq(found.gid, 35);
	cr_assert_str_eq(found.home, "/var/web");
	cr_assert_eq(found.group_count, 2);
	cr_assert_eq(found.groups[0], 50);
	cr_assert_eq(found.groups[1], 62);
	cr_assert_eq(resolve("last"), 0, "without a newline");
	cr_assert_str_eq(found.home, "/last");
	cr_assert_eq(resolve("34"), 0);
	cr_assert_eq(found.gid, 35, "a number's line counts");
	cr_assert_eq(resolve("4242"), 0);
	cr_assert_eq(found.uid, 4242);
	cr_assert_eq(found.gid, 0);
	cr_assert_str_eq(found.home, "/");
	cr_assert_eq(resolve("1000"), 0);
	cr_assert_eq(found.uid, 2000, "a name wins over the number");
}

Test(users, groups)
{
	cr_assert_eq(resolve("web:staff"), 0);
	cr_assert_eq(found.gid, 50);
	cr_assert_eq(found.group_count, 0, "an explicit group is the only one");
	cr_assert_eq(resolve("0:77"), 0);
	cr_assert_eq(found.gid, 77);
	cr_assert_eq(resolve("web:"), 0);
	cr_assert_eq(found.gid, 35);
	cr_assert_eq(resolve(":staff"), 0);
	cr_assert_eq(found.uid, 0);
	cr_assert_eq(found.gid, 50);
}

Test(users, refusals)
{
	cr_assert_eq(resolve("ann"), -ENOENT);
	cr_assert_str_eq(err.text, "unable to find user ann: no matching entries in passwd file");
	cr_assert_eq(resolve("web:nogroup"), -ENOENT);
	cr_assert_str_eq(err.text,
			 "unable to find group nogroup: no matching entries in group file");
	cr_assert_eq(resolve("4294967295"), -ENOENT, "nobody's id");
	cr_assert_eq(resolve("-1"), -ENOENT);
	cr_assert_eq(resolve("wild"), -EINVAL);
	cr_assert_eq(resolve("broken"), -ENOENT);
}

Test(users, additional_groups)
{
	char *names[] = { (char *)(uintptr_t) "staff", (char *)(uintptr_t) "70" };
	uint32_t gids[] = { 5, 70, 5 };
	message_user wanted;

	katavm__agent__v1__user__init(&wanted);
	wanted.uid = 34;
	wanted.gid = 1;
	wanted.additional_gids = gids;
	wanted.n_additional_gids = 3;
	wanted.additional_groups = names;
	wanted.n_additional_groups = 2;
	cr_assert_eq(users_resolve(&wanted, passwd, group, &found, &err), 0);
	cr_assert_eq(found.uid, 34);
	cr_assert_eq(found.gid, 1);
	cr_assert_str_eq(found.home, "/var/web");
	cr_assert_eq(found.group_count, 3, "each once");
	cr_assert_eq(users_resolve(NULL, "", "", &found, &err), 0);
	cr_assert_str_eq(found.home, "/");
}

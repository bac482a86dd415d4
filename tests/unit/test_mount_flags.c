#include "runtime/mount_flags.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct arena arena;
static struct mount_flag flag;
static struct error err;

static void volume(const char *text)
{
	cr_assert_eq(mount_flag_volume(text, &arena, &flag, &err), 0, "%s: %s", text, err.text);
}

static void mount(const char *text)
{
	cr_assert_eq(mount_flag_mount(text, &arena, &flag, &err), 0, "%s: %s", text, err.text);
}

Test(mount_flags, v_a_path_of_the_host)
{
	volume("/srv/data:/data");
	cr_expect_eq(flag.kind, MOUNT_BIND);
	cr_expect_str_eq(flag.source, "/srv/data");
	cr_expect_str_eq(flag.target, "/data");
	cr_expect_not(flag.read_only);
	cr_expect(flag.make_source);
	volume("/srv/data:/data:ro");
	cr_expect(flag.read_only);
	volume("/srv/data:/data:z,ro,cached");
	cr_expect(flag.read_only);
	cr_expect_eq(flag.cache, MOUNT_CACHE_AUTO);
	volume("/srv/data:/data:cache=never,ro");
	cr_expect_eq(flag.cache, MOUNT_CACHE_NEVER);
	cr_expect_not(flag.notify);
	volume("/srv/data:/data:notify,ro");
	cr_expect(flag.notify && flag.read_only);
}

Test(mount_flags, v_a_relative_path_is_of_the_current_folder)
{
	char folder[PATH_MAX], wanted[PATH_MAX + 16];

	cr_assert(getcwd(folder, sizeof folder));
	(void)snprintf(wanted, sizeof wanted, "%s/./src", folder);
	volume("./src:/src");
	cr_expect_eq(flag.kind, MOUNT_BIND);
	cr_expect_str_eq(flag.source, wanted);
}

Test(mount_flags, v_a_named_volume)
{
	volume("db-1:/var/lib/db:nocopy");
	cr_expect_eq(flag.kind, MOUNT_VOLUME);
	cr_expect_str_eq(flag.source, "db-1");
	cr_expect(flag.no_copy);
	volume("db-1:/var/lib/db:notify");
	cr_expect(flag.notify);
}

Test(mount_flags, v_an_anonymous_volume)
{
	volume("/cache");
	cr_expect_eq(flag.kind, MOUNT_ANONYMOUS);
	cr_expect_null(flag.source);
	cr_expect_str_eq(flag.target, "/cache");
}

Test(mount_flags, v_what_is_wrong_is_named)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "does not begin with /" },
		{ ":/x", "it is written" },
		{ "/x:", "it is written" },
		{ "/a:b", "does not begin with /" },
		{ "cache", "does not begin with /" },
		{ "/a:/", "nothing can be mounted over /" },
		{ "/a:///", "nothing can be mounted over /" },
		{ "/a:/b:rox", "\"rox\" is not an option" },
		{ "/a:/b:ro,shared", "\"shared\" is not an option" },
		{ "/a:/b:cache=x", "\"cache=x\" is not an option" },
		{ "/a:/b:cache", "\"cache\" is not an option" },
		{ "/a:/b:notify=1", "\"notify=1\" is not an option" },
		{ "/a:/b:notify,cache=always", "notify does not go with cache=always" },
		{ "a b:/c", "a volume's name" },
		{ "x:/c", "a volume's name" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_expect_eq(mount_flag_volume(bad[i].text, &arena, &flag, &err), -EINVAL, "%s",
			     bad[i].text);
		cr_expect(strstr(err.text, bad[i].word), "%s: %s", bad[i].text, err.text);
	}
}

Test(mount_flags, mount_kinds)
{
	mount("type=bind,source=/srv,target=/data,readonly");
	cr_expect_eq(flag.kind, MOUNT_BIND);
	cr_expect(flag.read_only);
	cr_expect_not(flag.make_source);
	mount("type=volume,src=db,dst=/data,volume-nocopy=true,ro=false");
	cr_expect_eq(flag.kind, MOUNT_VOLUME);
	cr_expect_str_eq(flag.source, "db");
	cr_expect(flag.no_copy);
	cr_expect_not(flag.read_only);
	mount("source=db,destination=/data");
	cr_expect_eq(flag.kind, MOUNT_VOLUME);
	mount("type=bind,source=/srv,target=/data,cache=always");
	cr_expect_eq(flag.cache, MOUNT_CACHE_ALWAYS);
	mount("type=bind,source=/srv,target=/data,notify,cache=auto");
	cr_expect(flag.notify);
	mount("type=volume,source=db,target=/data,notify=false,cache=always");
	cr_expect_not(flag.notify);
	mount("target=/data");
	cr_expect_eq(flag.kind, MOUNT_ANONYMOUS);
	mount("type=tmpfs,target=/run,tmpfs-size=1m,tmpfs-mode=700");
	cr_expect_eq(flag.kind, MOUNT_TMPFS);
	cr_expect_str_eq(flag.options, ",size=1m,mode=700");
}

Test(mount_flags, mount_what_is_wrong_is_named)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "type=bind,source=/a", "no target" },
		{ "type=bind,target=/a", "has a source" },
		{ "type=bind,source=a,target=/b", "\"./a\"?" },
		{ "type=volume,source=/a,target=/b", "a name, not a path" },
		{ "type=tmpfs,source=a,target=/b", "has no source" },
		{ "type=npipe,target=/b", "type is" },
		{ "target=/b,bind-propagation=shared", "\"bind-propagation\" is not known" },
		{ "target=", "needs a value" },
		{ "target=/b,notify", "a path of the host or a named volume" },
		{ "type=tmpfs,target=/b,notify", "a path of the host or a named volume" },
		{ "cache=always,type=bind,source=/a,target=/b,notify=true", "cache=always" },
		{ "target=b", "does not begin with /" },
		{ "target=/", "nothing can be mounted over /" },
		{ "", "needs a value" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_expect_eq(mount_flag_mount(bad[i].text, &arena, &flag, &err), -EINVAL, "%s",
			     bad[i].text);
		cr_expect(strstr(err.text, bad[i].word), "%s: %s", bad[i].text, err.text);
	}
}

static const struct option_spec specs[] = {
	{ "volume", 'v', OPTION_LIST, "X", "", NULL },
	{ "mount", 0, OPTION_LIST, "X", "", NULL },
	{ "tmpfs", 0, OPTION_LIST, "X", "", NULL },
	{ 0 },
};
static const struct command command = { .name = "x", .options = specs };

static int parse(size_t count, char *const *words, struct mount_flags *out)
{
	struct options options = { 0 };
	int result;

	cr_assert_eq(options_parse(&command, count, words, &options, &err), 0);
	result = mount_flags_parse(&options, &arena, out, &err);
	options_finish(&options);
	return result;
}

Test(mount_flags, all_flags_are_one_list)
{
	char *words[] = { "--tmpfs", "/run:size=1m", "-v", "/a:/b", "--mount", "target=/c" };
	struct mount_flags flags;

	cr_assert_eq(parse(6, words, &flags), 0, "%s", err.text);
	cr_assert_eq(flags.count, 3);
	cr_expect_str_eq(flags.list[0].target, "/b");
	cr_expect_str_eq(flags.list[2].options, "size=1m");
}

Test(mount_flags, two_at_one_place_are_refused)
{
	char *words[] = { "-v", "/a:/b", "--tmpfs", "//b/" };
	struct mount_flags flags;

	cr_assert_eq(parse(4, words, &flags), -EINVAL);
	cr_expect(strstr(err.text, "same place"));
}

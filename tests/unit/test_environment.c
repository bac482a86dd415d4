#include "runtime/environment.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;
static struct texts env;
static struct error err;

static void tear_down(void)
{
	arena_finish(&arena);
}

TestSuite(environment, .fini = tear_down);

Test(environment, each_key_once)
{
	environment_set(&arena, &env, "A=1");
	environment_set(&arena, &env, "AB=2");
	environment_set(&arena, &env, "A=3");
	cr_assert_eq(env.count, 2);
	cr_assert_str_eq(environment_get(&env, "A"), "3");
	cr_assert_null(environment_get(&env, "B"));
	cr_assert_null(env.list[2]);
}

Test(environment, the_callers_value)
{
	cr_assert_eq(setenv("KATAVM_TEST_SET", "here", 1), 0);
	cr_assert_eq(unsetenv("KATAVM_TEST_UNSET"), 0);
	environment_set(&arena, &env, "KATAVM_TEST_UNSET=of the image");
	environment_set(&arena, &env, "LAST=1");
	cr_assert_eq(environment_apply(&arena, &env, "KATAVM_TEST_SET", &err), 0);
	cr_assert_eq(environment_apply(&arena, &env, "KATAVM_TEST_UNSET", &err), 0);
	cr_assert_eq(environment_apply(&arena, &env, "EMPTY=", &err), 0);
	cr_assert_eq(env.count, 3);
	cr_assert_str_eq(environment_get(&env, "KATAVM_TEST_SET"), "here");
	cr_assert_null(environment_get(&env, "KATAVM_TEST_UNSET"));
	cr_assert_str_eq(environment_get(&env, "EMPTY"), "");
	cr_assert_null(env.list[3]);
	cr_assert_lt(environment_apply(&arena, &env, "=x", &err), 0);
	cr_assert_lt(environment_apply(&arena, &env, "", &err), 0);
}

static int apply(const char *text)
{
	return environment_apply_file(&arena, &env, "f.env", text, strlen(text), &err);
}

Test(environment, files)
{
	cr_assert_eq(
	    apply("\xef\xbb\xbf# comment\n\n  A=1\r\nB= two words # kept \n   # x\nC=\"q\"\nD=a=b"),
	    0);
	cr_assert_eq(env.count, 4);
	cr_assert_str_eq(environment_get(&env, "A"), "1");
	cr_assert_str_eq(environment_get(&env, "B"), " two words # kept ");
	cr_assert_str_eq(environment_get(&env, "C"), "\"q\"");
	cr_assert_str_eq(environment_get(&env, "D"), "a=b");
	cr_assert_lt(apply("A=1\n=2\n"), 0);
	cr_assert_str_eq(err.text, "f.env:2 has no name before the '='");
	cr_assert_lt(apply("A B=1"), 0);
	cr_assert_str_eq(err.text, "f.env:1: the name \"A B\" has a blank in it");
	cr_assert_lt(environment_apply_file(&arena, &env, "f.env", "A\0=1", 4, &err), 0);
}

Test(environment, many)
{
	for (int i = 0; i < 5000; i++)
		environment_set(&arena, &env, arena_print(&arena, "K%d=%d", i, i));
	cr_assert_eq(env.count, 5000);
	cr_assert_str_eq(environment_get(&env, "K4999"), "4999");
}

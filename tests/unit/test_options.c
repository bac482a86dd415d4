#include "runtime/options.h"
#include "runtime/usage.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct option_spec specs[] = {
	{ "interactive", 'i', OPTION_FLAG, NULL, "keep stdin", NULL },
	{ "tty", 't', OPTION_FLAG, NULL, "a terminal", NULL },
	{ "env", 'e', OPTION_LIST, "KEY=VALUE", "set", NULL },
	{ "hostname", 'h', OPTION_VALUE, "NAME", "name", NULL },
	{ "pull", 0, OPTION_VALUE, "WHEN", "when", "missing|always|never" },
	{ "publish", 'p', OPTION_LATER, NULL, "no networks yet", NULL },
	{ 0 },
};
static const struct command command = {
	.name = "run",
	.arguments = "IMAGE",
	.summary = "Run",
	.options = specs,
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.stops_at_argument = true,
};
static struct options options;
static struct error err;

static int parse(const char *line)
{
	static char copy[256];
	char *words[32];
	size_t count = 0;

	options_finish(&options);
	(void)snprintf(copy, sizeof copy, "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		words[count++] = word;
	return options_parse(&command, count, words, &options, &err);
}

TestSuite(options, .fini = NULL);

Test(options, stops_at_the_image)
{
	cr_assert_eq(parse("-i debian ls -l --nonsense"), 0);
	cr_assert(options_flag(&options, "interactive"));
	cr_assert_eq(options.argument_count, 4);
	cr_assert_str_eq(options.arguments[2], "-l");
	cr_assert_null(options.arguments[4]);
	cr_assert_eq(parse("-- -i"), 0);
	cr_assert_eq(options.argument_count, 1);
	options_finish(&options);
}

Test(options, combined_and_attached)
{
	size_t cursor = 0;

	cr_assert_eq(parse("-ite A=1 -eB=2 --env=C=3 --env D -hx img"), 0);
	cr_assert(options_flag(&options, "tty"));
	cr_assert_str_eq(options_next(&options, "env", &cursor), "A=1");
	cr_assert_str_eq(options_next(&options, "env", &cursor), "B=2");
	cr_assert_str_eq(options_next(&options, "env", &cursor), "C=3");
	cr_assert_str_eq(options_next(&options, "env", &cursor), "D");
	cr_assert_null(options_next(&options, "env", &cursor));
	cr_assert_str_eq(options_value(&options, "hostname"), "x");
	cr_assert_null(options_value(&options, "pull"));
	options_finish(&options);
}

Test(options, last_counts)
{
	cr_assert_eq(parse("--tty -i=false --tty=false --hostname a --hostname b img"), 0);
	cr_assert_not(options_flag(&options, "tty"));
	cr_assert_not(options_flag(&options, "interactive"));
	cr_assert_str_eq(options_value(&options, "hostname"), "b");
	options_finish(&options);
}

Test(options, refusals)
{
	cr_assert_lt(parse("--interactiv img"), 0);
	cr_assert_str_eq(err.text, "unknown flag --interactiv: did you mean --interactive?");
	cr_assert_lt(parse("--zzzzzzzz img"), 0);
	cr_assert_str_eq(err.text, "unknown flag --zzzzzzzz: see katavm run --help");
	cr_assert_lt(parse("-p 80:80 img"), 0);
	cr_assert_str_eq(err.text, "--publish is not in this release: no networks yet");
	cr_assert_lt(parse("-ix img"), 0);
	cr_assert_lt(parse("--pull=sometimes img"), 0);
	cr_assert_str_eq(err.text, "--pull is one of missing|always|never, not \"sometimes\"");
	cr_assert_lt(parse("--hostname"), 0);
	cr_assert_str_eq(err.text, "--hostname needs a value: --hostname NAME");
	cr_assert_lt(parse("-ih"), 0);
	cr_assert_lt(parse("--tty=maybe img"), 0);
	cr_assert_eq(parse("-i"), 0);
	cr_assert_lt(options_check_arguments(&options, &err), 0);
	options_finish(&options);
}

Test(options, nearest)
{
	const char *words[] = { "run", "check", "images" };

	cr_assert_str_eq(options_nearest("chekc", words, 3), "check");
	cr_assert_str_eq(options_nearest("image", words, 3), "images");
	cr_assert_null(options_nearest("x", words, 3));
	cr_assert_null(options_nearest("supercalifragilistic", words, 3));
}

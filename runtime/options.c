#include "runtime/options.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option_spec options_common[] = {
	{ "root", 0, OPTION_VALUE, "DIR", "where images are kept (default /var/lib/katavm)", NULL },
	{ "help", 'h', OPTION_FLAG, NULL, "print this and exit", NULL },
	{ 0 },
};

static const struct option_spec *find_in(const struct option_spec *table, const char *name,
					 size_t size)
{
	for (; table && table->name; table++)
		if (strlen(table->name) == size && memcmp(table->name, name, size) == 0)
			return table;
	return NULL;
}

static const struct option_spec *find(const struct command *command, const char *name, size_t size)
{
	const struct option_spec *spec = command ? find_in(command->options, name, size) : NULL;

	return spec ? spec : find_in(options_common, name, size);
}

static const struct option_spec *find_letter(const struct command *command, char letter)
{
	for (const struct option_spec *at = command ? command->options : NULL; at && at->name; at++)
		if (at->letter == letter)
			return at;
	for (const struct option_spec *at = options_common; at->name; at++)
		if (at->letter == letter)
			return at;
	return NULL;
}

static bool word_in(const char *choices, const char *word)
{
	size_t size = strlen(word);

	for (const char *at = choices; *at;) {
		size_t length = strcspn(at, "|");

		if (length == size && memcmp(at, word, size) == 0)
			return true;
		at += length + (at[length] == '|');
	}
	return false;
}

static bool is_true(const char *value)
{
	return word_in("true|1|t|T|TRUE|True", value);
}

static int add_item(struct options *out, const struct option_spec *spec, const char *value,
		    struct error *err)
{
	struct options_item *items;

	if (spec->kind == OPTION_LATER)
		return error_set(err, -ENOTSUP, "--%s is not in this release: %s", spec->name,
				 spec->help);
	if (spec->kind == OPTION_FLAG && !is_true(value) &&
	    !word_in("false|0|f|F|FALSE|False", value))
		return error_set(err, -EINVAL, "--%s takes no value but true or false, not \"%s\"",
				 spec->name, value);
	if (spec->choices && !word_in(spec->choices, value))
		return error_set(err, -EINVAL, "--%s is one of %s, not \"%s\"", spec->name,
				 spec->choices, value);
	items = reallocarray(out->items, out->item_count + 1, sizeof *items);
	if (!items)
		return error_set(err, -ENOMEM, "out of memory");
	items[out->item_count++] = (struct options_item){ .spec = spec, .value = value };
	out->items = items;
	return 0;
}

static int add_argument(struct options *out, const char *argument, struct error *err)
{
	const char **arguments =
	    reallocarray(out->arguments, out->argument_count + 2, sizeof *arguments);

	if (!arguments)
		return error_set(err, -ENOMEM, "out of memory");
	arguments[out->argument_count++] = argument;
	arguments[out->argument_count] = NULL;
	out->arguments = arguments;
	return 0;
}

static size_t distance(const char *left, const char *right)
{
	enum { LONGEST = 32 };
	size_t rows[2][LONGEST + 1], width = strlen(right), height = strlen(left);

	if (width > LONGEST || height > LONGEST)
		return SIZE_MAX;
	for (size_t i = 0; i <= width; i++)
		rows[0][i] = i;
	for (size_t y = 1; y <= height; y++) {
		size_t *above = rows[(y - 1) % 2], *row = rows[y % 2];

		row[0] = y;
		for (size_t x = 1; x <= width; x++) {
			size_t best = above[x - 1] + (left[y - 1] != right[x - 1]);

			if (above[x] + 1 < best)
				best = above[x] + 1;
			if (row[x - 1] + 1 < best)
				best = row[x - 1] + 1;
			row[x] = best;
		}
	}
	return rows[height % 2][width];
}

const char *options_nearest(const char *word, const char *const *words, size_t count)
{
	size_t best = strlen(word) / 3 + 2; /* as many mistakes as are still a likely slip */
	const char *nearest = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t miss = distance(word, words[i]);

		if (miss < best && miss < strlen(words[i])) {
			best = miss;
			nearest = words[i];
		}
	}
	return nearest;
}

static int unknown(const struct command *command, const char *word, size_t size, struct error *err)
{
	const char *names[160], *nearest;
	size_t count = 0;
	char name[64];

	(void)snprintf(name, sizeof name, "%.*s", (int)(size < 60 ? size : 60), word);
	for (const struct option_spec *at = command ? command->options : NULL;
	     at && at->name && count < 150; at++)
		if (at->kind != OPTION_LATER)
			names[count++] = at->name;
	for (const struct option_spec *at = options_common; at->name; at++)
		names[count++] = at->name;
	nearest = options_nearest(name, names, count);
	if (nearest)
		return error_set(err, -EINVAL, "unknown flag --%s: did you mean --%s?", name,
				 nearest);
	return error_set(err, -EINVAL, "unknown flag --%s: see katavm %s%s--help", name,
			 command ? command->name : "", command ? " " : "");
}

/* argv[*at] is --name or --name=value. */
static int parse_long(const struct command *command, size_t argc, char *const *argv, size_t *at,
		      struct options *out, struct error *err)
{
	const char *name = argv[*at] + 2, *value = strchr(name, '=');
	size_t size = value ? (size_t)(value - name) : strlen(name);
	const struct option_spec *spec = find(command, name, size);

	if (!spec)
		return unknown(command, name, size, err);
	if (value)
		return add_item(out, spec, value + 1, err);
	if (spec->kind == OPTION_FLAG || spec->kind == OPTION_LATER)
		return add_item(out, spec, "true", err);
	if (*at + 1 == argc)
		return error_set(err, -EINVAL, "--%s needs a value: --%s %s", spec->name,
				 spec->name, spec->value);
	*at += 1;
	return add_item(out, spec, argv[*at], err);
}

/* argv[*at] is one or more letters behind a dash; the last one may have its value behind it. */
static int parse_short(const struct command *command, size_t argc, char *const *argv, size_t *at,
		       struct options *out, struct error *err)
{
	for (const char *letter = argv[*at] + 1; *letter; letter++) {
		const struct option_spec *spec = find_letter(command, *letter);
		bool flag = spec && spec->kind == OPTION_FLAG;
		int result;

		if (!spec)
			return error_set(err, -EINVAL,
					 "unknown flag -%c in \"%s\": see katavm %s --help",
					 *letter, argv[*at], command ? command->name : "");
		if (spec->kind == OPTION_LATER || (flag && letter[1] != '=')) {
			result = add_item(out, spec, "true", err);
			if (result < 0)
				return result;
			continue;
		}
		if (letter[1] != '\0')
			return add_item(out, spec, letter + 1 + (letter[1] == '='), err);
		if (*at + 1 == argc)
			return error_set(err, -EINVAL, "-%c needs a value: --%s %s", *letter,
					 spec->name, spec->value);
		*at += 1;
		return add_item(out, spec, argv[*at], err);
	}
	return 0;
}

static bool is_flag(const char *word)
{
	return word[0] == '-' && word[1] != '\0';
}

static int parse_flag(const struct command *command, size_t argc, char *const *argv, size_t *at,
		      struct options *out, struct error *err)
{
	if (argv[*at][1] == '-')
		return parse_long(command, argc, argv, at, out, err);
	return parse_short(command, argc, argv, at, out, err);
}

int options_parse(const struct command *command, size_t argc, char *const *argv,
		  struct options *out, struct error *err)
{
	bool flags = true;

	out->command = command;
	for (size_t i = 0; i < argc; i++) {
		int result;

		if (flags && strcmp(argv[i], "--") == 0) {
			flags = false;
			continue;
		}
		if (flags && is_flag(argv[i])) {
			result = parse_flag(command, argc, argv, &i, out, err);
		} else {
			result = add_argument(out, argv[i], err);
			flags = flags && !command->stops_at_argument;
		}
		if (result < 0)
			return result;
	}
	return 0;
}

int options_parse_common(size_t argc, char *const *argv, struct options *out, size_t *used,
			 struct error *err)
{
	size_t i;

	for (i = 0; i < argc && is_flag(argv[i]); i++) {
		int result = parse_flag(NULL, argc, argv, &i, out, err);

		if (result < 0)
			return result;
	}
	*used = i;
	return 0;
}

int options_check_arguments(const struct options *options, struct error *err)
{
	const struct command *command = options->command;

	if (options->argument_count < command->min_arguments)
		return error_set(err, -EINVAL, "an argument is missing: katavm %s [FLAGS] %s",
				 command->name, command->arguments);
	if (options->argument_count > command->max_arguments)
		return error_set(
		    err, -EINVAL, "\"%s\" is one argument too many: katavm %s [FLAGS] %s",
		    options->arguments[command->max_arguments], command->name, command->arguments);
	return 0;
}

void options_finish(struct options *options)
{
	free(options->items);
	free(options->arguments);
	*options = (struct options){ 0 };
}

static const struct option_spec *known(const struct options *options, const char *name)
{
	const struct option_spec *spec = find(options->command, name, strlen(name));

	if (!spec)
		abort(); /* a reader asks for a flag which its own table does not have */
	return spec;
}

const char *options_value(const struct options *options, const char *name)
{
	const struct option_spec *spec = known(options, name);

	for (size_t i = options->item_count; i-- > 0;)
		if (options->items[i].spec == spec)
			return options->items[i].value;
	return NULL;
}

bool options_flag(const struct options *options, const char *name)
{
	const char *value = options_value(options, name);

	return value && is_true(value);
}

const char *options_next(const struct options *options, const char *name, size_t *cursor)
{
	const struct option_spec *spec = known(options, name);

	for (; *cursor < options->item_count; (*cursor)++)
		if (options->items[*cursor].spec == spec)
			return options->items[(*cursor)++].value;
	return NULL;
}

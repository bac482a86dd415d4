#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

/*
 * The flags of a command: one table, from which the parser, --help, the man page and shell
 * completion are made. A table ends with an entry without a name.
 */
enum option_kind {
	OPTION_FLAG,  /* takes no value, though --name=false is understood */
	OPTION_VALUE, /* takes one; given twice, the last one counts */
	OPTION_LIST,  /* takes one; may be repeated and every one is kept */
	OPTION_LATER, /* known from Docker and not in this release: refused; help says why */
};

struct option_spec {
	const char *name; /* without the dashes */
	char letter;      /* its short form, or 0 */
	enum option_kind kind;
	const char *value;   /* what --help calls its value: SIZE */
	const char *help;    /* one line, without a full stop */
	const char *choices; /* words the value may be, separated by '|'; checked; or NULL */
};

enum { OPTIONS_ANY_NUMBER = 1 << 20 };

struct options;

struct command {
	const char *name;
	const char *arguments;             /* IMAGE [COMMAND [ARG...]] */
	const char *summary;               /* one line for the list of commands */
	const char *description;           /* paragraphs for --help and the man page, or NULL */
	const struct option_spec *options; /* or NULL */
	size_t min_arguments, max_arguments;
	bool stops_at_argument; /* flags behind the first argument belong to that argument */
	bool hidden;            /* not in the list of commands */
	/* Returns the exit status of the process; has printed its error itself. */
	int (*main)(const struct options *options);
};

/* Understood by every command, before and behind the command's name. */
extern const struct option_spec options_common[];

struct options_item { /* private to options.c */
	const struct option_spec *spec;
	const char *value;
};

/* What a command line said. Values and arguments point into argv. */
struct options {
	const struct command *command;
	size_t item_count;
	struct options_item *items;
	size_t argument_count;
	const char **arguments; /* argument_count of them, then NULL */
};

/* Parses argv[0..argc) (without the command's name) in the terms of command. Call it again with the
 * same *out (zeroed before the first) to add to it. Flags that nobody knows come with the nearest
 * known one in the error's sentence. */
int options_parse(const struct command *command, size_t argc, char *const *argv,
		  struct options *out, struct error *err);

/* As options_parse, of the common flags only and up to the first argument: its index is *used. */
int options_parse_common(size_t argc, char *const *argv, struct options *out, size_t *used,
			 struct error *err);

/* Are there as many arguments as the command wants? */
int options_check_arguments(const struct options *options, struct error *err);

void options_finish(struct options *options);

/* The readers. A name which is not in the command's table is a bug and ends the program. */
bool options_flag(const struct options *options, const char *name);
const char *options_value(const struct options *options, const char *name); /* NULL: not given */

/* Each value of a repeated flag in turn: *cursor starts at 0; NULL after the last. */
const char *options_next(const struct options *options, const char *name, size_t *cursor);

/* The word of a list that is most like `word`, or NULL when none is. */
const char *options_nearest(const char *word, const char *const *words, size_t count);

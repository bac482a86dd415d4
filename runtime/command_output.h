#pragma once
#include "base/error.h"
#include "runtime/options.h"

/* What commands print alike. */
struct json_object;

/* "katavm: ..." on stderr; gives the exit status 1. */
int command_failed(const struct error *err);

/* As docker prints its lists: on one line, or (pretty) indented. Takes the object over. */
void command_print_json(struct json_object *object, bool pretty);

/* --quiet and --format of a command that lists: neither is the table. */
struct command_listing {
	bool quiet, json;
};
struct command_listing command_listing(const struct options *options);

#include "runtime/command_output.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

int command_failed(const struct error *err)
{
	(void)fprintf(stderr, "katavm: %s\n", err->text);
	return 1;
}

void command_print_json(struct json_object *object, bool pretty)
{
	const int flags =
	    pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN;

	(void)puts(json_object_to_json_string_ext(object, flags | JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)json_object_put(object);
}

struct command_listing command_listing(const struct options *options)
{
	const char *format = options_value(options, "format");

	return (struct command_listing){ .quiet = options_flag(options, "quiet"),
					 .json = format && strcmp(format, "json") == 0 };
}

#include "runtime/command_output.h"

#include "base/text.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

int command_failed(const struct error *err)
{
	(void)fprintf(stderr, "katavm: %s\n", err->text);
	return 1;
}

/* json-c escapes C0 but leaves DEL and C1 as they are, and bytes that are not UTF-8. These occur in
 * strings only, so that an escape says the same. */
static void put_json(const char *text)
{
	while (*text) {
		size_t size = text_printable(text);
		const unsigned char *at = (const unsigned char *)text;

		if (size || *text == '\n') {
			size = size ? size : 1;
			(void)fwrite(text, 1, size, stdout);
		} else if (*at == 0x7f) {
			size = 1;
			(void)fputs("\\u007f", stdout);
		} else if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) {
			size = 2;
			(void)printf("\\u00%02x", at[1]);
		} else {
			size = 1;
			(void)fputs("\\ufffd", stdout);
		}
		text += size;
	}
	(void)putchar('\n');
}

void command_print_json(struct json_object *object, bool pretty)
{
	const int flags =
	    pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN;

	put_json(json_object_to_json_string_ext(object, flags | JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)json_object_put(object);
}

struct command_listing command_listing(const struct options *options)
{
	const char *format = options_value(options, "format");

	return (struct command_listing){ .quiet = options_flag(options, "quiet"),
					 .json = format && strcmp(format, "json") == 0 };
}

#include "runtime/net/interface_options.h"

#include "runtime/limit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SEND = 1, RECEIVE = 2, VALUE_SIZE = 64 };

static int set_rate(const char *option, const char *text, bool bytes, unsigned directions,
		    struct interface_options *out, struct error *err)
{
	struct limit limit;
	int r = limit_parse("network", option, text, bytes, &limit, err);

	for (unsigned direction = SEND; r == 0 && direction <= RECEIVE; direction++) {
		struct vmm_rate *rate = direction == SEND ? &out->send : &out->receive;

		if (!(directions & direction))
			continue;
		*(bytes ? &rate->bytes : &rate->operations) = limit.amount;
		*(bytes ? &rate->bytes_burst : &rate->operations_burst) = limit.burst;
	}
	return r;
}

static int set_option(const char *word, size_t size, struct interface_options *out,
		      struct error *err)
{
	static const struct {
		const char *name;
		bool bytes;
		unsigned directions;
	} table[] = {
		{ "rate", true, SEND | RECEIVE },  { "send-rate", true, SEND },
		{ "receive-rate", true, RECEIVE }, { "packets", false, SEND | RECEIVE },
		{ "send-packets", false, SEND },   { "receive-packets", false, RECEIVE },
	};
	const char *equals = memchr(word, '=', size);
	size_t name_size = equals ? (size_t)(equals - word) : size;
	char value[VALUE_SIZE];

	if (strlen("vhost") == size && strncmp("vhost", word, size) == 0) {
		out->vhost = true;
		return 0;
	}
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if (strlen(table[i].name) != name_size ||
		    strncmp(table[i].name, word, name_size) != 0)
			continue;
		if (!equals || size - name_size - 1 >= sizeof value)
			break;
		(void)snprintf(value, sizeof value, "%.*s", (int)(size - name_size - 1),
			       equals + 1);
		return set_rate(table[i].name, value, table[i].bytes, table[i].directions, out,
				err);
	}
	return error_set(
	    err, -EINVAL,
	    "--network: \"%.*s\" is none of vhost, rate=BYTES[:BURST], packets=NUMBER[:BURST] "
	    "and the same with send- or receive- in front",
	    (int)(size < 60 ? size : 60), word);
}

int interface_options_parse(const char *text, struct interface_options *out, struct error *err)
{
	int r = 0;

	for (const char *word = text; r == 0 && word;) {
		size_t size = strcspn(word, ",");

		r = set_option(word, size, out, err);
		word = word[size] == ',' ? word + size + 1 : NULL;
	}
	return r;
}

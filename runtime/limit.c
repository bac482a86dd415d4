#include "runtime/limit.h"

#include "runtime/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOST (UINT64_C(1) << 40)

enum { AMOUNT_SIZE = 32 };

static bool parse_amount(const char *text, size_t size, bool is_size, uint64_t *out)
{
	char amount[AMOUNT_SIZE];
	struct error unused;

	if (size >= sizeof amount)
		return false;
	(void)snprintf(amount, sizeof amount, "%.*s", (int)size, text);
	if (is_size ? parse_bytes("", amount, out, &unused) < 0 : !parse_number(amount, MOST, out))
		return false;
	return *out > 0 && *out <= MOST;
}

int limit_parse(const char *flag, const char *name, const char *text, bool is_size,
		struct limit *out, struct error *err)
{
	size_t size = strcspn(text, ":");
	const char *burst = text[size] == ':' ? text + size + 1 : NULL;
	struct limit limit = { 0 };

	if (!parse_amount(text, size, is_size, &limit.amount) ||
	    (burst && !parse_amount(burst, strlen(burst), is_size, &limit.burst)))
		return error_set(
		    err, -EINVAL, "--%s: %s is AMOUNT or AMOUNT:BURST, each %s, not \"%.60s\"",
		    flag, name, is_size ? "a size up to 1t, such as 100m" : "a number from 1",
		    text);
	*out = limit;
	return 0;
}

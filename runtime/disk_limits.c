#include "runtime/disk_limits.h"

#include "runtime/limit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { WORD_SIZE = 96 };

/* NAME=AMOUNT[:BURST], which is cut up. */
static int parse_limit(const char *flag, char *word, struct vmm_rate *rate, struct error *err)
{
	char *text = strchr(word, '=');
	struct limit limit;
	uint64_t *amount;
	bool is_size;
	int r;

	if (!text)
		return error_set(err, -EINVAL,
				 "--%s: a limit is iops=NUMBER or bps=SIZE, not \"%.40s\"", flag,
				 word);
	*text++ = '\0';
	is_size = strcmp(word, "bps") == 0;
	if (!is_size && strcmp(word, "iops") != 0)
		return error_set(err, -EINVAL, "--%s: the limits are iops and bps, not \"%.40s\"",
				 flag, word);
	amount = is_size ? &rate->bytes : &rate->operations;
	if (*amount)
		return error_set(err, -EINVAL, "--%s: %s is given twice", flag, word);
	r = limit_parse(flag, word, text, is_size, &limit, err);
	if (r < 0)
		return r;
	*amount = limit.amount;
	*(is_size ? &rate->bytes_burst : &rate->operations_burst) = limit.burst;
	return 0;
}

int disk_limits_parse(const char *flag, const char *text, struct vmm_rate *out, struct error *err)
{
	struct vmm_rate rate = { 0 };
	char word[WORD_SIZE];
	int r = 0;

	for (bool more = true; r == 0 && more;) {
		size_t size = strcspn(text, ",");

		more = text[size] == ',';
		(void)snprintf(word, sizeof word, "%.*s", (int)(size < WORD_SIZE ? size : 0), text);
		r = parse_limit(flag, word, &rate, err);
		text += size + more;
	}
	if (r == 0)
		*out = rate;
	return r;
}

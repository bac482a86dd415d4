#include "runtime/disk_limits.h"

#include "runtime/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOST (UINT64_C(1) << 40)

enum { WORD_SIZE = 96 };

static int parse_amount(const char *flag, const char *name, const char *text, bool is_size,
			uint64_t *out, struct error *err)
{
	int r = is_size ? parse_bytes(flag, text, out, err) : 0;

	if (r < 0)
		return r;
	if ((!is_size && !parse_number(text, MOST, out)) || *out == 0 || *out > MOST)
		return error_set(err, -EINVAL, "--%s: %s is %s, not \"%.40s\"", flag, name,
				 is_size ? "a size up to 1t, such as 100m" : "a number of requests",
				 text);
	return 0;
}

/* NAME=AMOUNT[:BURST], which is cut up. */
static int parse_limit(const char *flag, char *word, struct vmm_rate *rate, struct error *err)
{
	char *amount = strchr(word, '='), *burst;
	uint64_t *out[2];
	bool is_size;
	int r;

	if (!amount)
		return error_set(err, -EINVAL,
				 "--%s: a limit is iops=NUMBER or bps=SIZE, not \"%.40s\"", flag,
				 word);
	*amount++ = '\0';
	is_size = strcmp(word, "bps") == 0;
	if (!is_size && strcmp(word, "iops") != 0)
		return error_set(err, -EINVAL, "--%s: the limits are iops and bps, not \"%.40s\"",
				 flag, word);
	burst = strchr(amount, ':');
	if (burst)
		*burst++ = '\0';
	out[0] = is_size ? &rate->bytes : &rate->operations;
	out[1] = is_size ? &rate->bytes_burst : &rate->operations_burst;
	if (*out[0])
		return error_set(err, -EINVAL, "--%s: %s is given twice", flag, word);
	r = parse_amount(flag, word, amount, is_size, out[0], err);
	if (r == 0 && burst)
		r = parse_amount(flag, word, burst, is_size, out[1], err);
	return r;
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

#include "runtime/image/challenge.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const char token_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "!#$%&'*+-.^_`|~";

static const char *skip(const char *at, const char *set)
{
	return at + strspn(at, set);
}

/* A token or quoted string; NULL when it is malformed or does not fit. */
static const char *read_value(const char *at, char out[CHALLENGE_TEXT])
{
	size_t size = 0;

	if (*at != '"') {
		size = strspn(at, token_chars);
		if (size == 0 || size >= CHALLENGE_TEXT)
			return NULL;
		memcpy(out, at, size);
		out[size] = '\0';
		return at + size;
	}
	for (at++; *at && *at != '"'; at++) {
		if (*at == '\\' && *++at == '\0')
			return NULL;
		if ((unsigned char)*at < ' ' || size + 1 >= CHALLENGE_TEXT)
			return NULL;
		out[size++] = *at;
	}
	out[size] = '\0';
	return *at == '"' ? at + 1 : NULL;
}

static void keep(struct challenge *challenge, const char *key, size_t size, const char *value)
{
	char *to = NULL;

	if (size == 5 && strncasecmp(key, "realm", 5) == 0)
		to = challenge->realm;
	else if (size == 7 && strncasecmp(key, "service", 7) == 0)
		to = challenge->service;
	else if (size == 5 && strncasecmp(key, "scope", 5) == 0)
		to = challenge->scope;
	if (to)
		memcpy(to, value, strlen(value) + 1);
}

/* key=value, key=value … up to the next scheme's name; NULL when malformed. */
static const char *read_parameters(const char *at, struct challenge *challenge)
{
	char value[CHALLENGE_TEXT];

	for (;;) {
		const char *key = skip(at, " \t,"), *equals;
		size_t size = strspn(key, token_chars);

		equals = skip(key + size, " \t");
		if (size == 0 || *equals != '=')
			return key; /* the end, or a scheme */
		at = read_value(skip(equals + 1, " \t"), value);
		if (!at)
			return NULL;
		keep(challenge, key, size, value);
	}
}

int challenge_parse(const char *text, struct challenge *out)
{
	struct challenge best = { .scheme = CHALLENGE_NONE };
	const char *at = skip(text, " \t,");

	while (*at) {
		struct challenge one = { .scheme = CHALLENGE_NONE };
		size_t size = strspn(at, token_chars);

		if (size == 0 || (at[size] && !strchr(" \t,", at[size])))
			return -EINVAL;
		if (size == 6 && strncasecmp(at, "Bearer", 6) == 0)
			one.scheme = CHALLENGE_BEARER;
		else if (size == 5 && strncasecmp(at, "Basic", 5) == 0)
			one.scheme = CHALLENGE_BASIC;
		at = read_parameters(at + size, &one);
		if (!at)
			return -EINVAL;
		if (one.scheme > best.scheme)
			best = one;
	}
	if (best.scheme == CHALLENGE_NONE || (best.scheme == CHALLENGE_BEARER && !best.realm[0]))
		return -EINVAL;
	*out = best;
	return 0;
}

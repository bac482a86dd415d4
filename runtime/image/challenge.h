#pragma once
#include <stddef.h>

/* What a WWW-Authenticate header asks for (RFC 9110, section 11). */
enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

enum { CHALLENGE_TEXT = 1024 };

struct challenge {
	enum challenge_scheme scheme;
	char realm[CHALLENGE_TEXT];
	char service[CHALLENGE_TEXT];
	char scope[CHALLENGE_TEXT];
};

/* The value of one header. When it has several challenges, Bearer is taken over Basic; -EINVAL when
 * it is malformed or has neither. */
int challenge_parse(const char *text, struct challenge *out);

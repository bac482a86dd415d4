#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* A limit of what passes a second and at once, as users write it: AMOUNT[:BURST]. */
struct limit {
	uint64_t amount, burst; /* burst 0: none was given */
};

/* Parses text: sizes such as 10m where is_size, else numbers; neither 0 nor above 2^40. flag and
 * name, without their dashes, tell the user which limit it is. -EINVAL: out is as it was, and err
 * quotes text. */
int limit_parse(const char *flag, const char *name, const char *text, bool is_size,
		struct limit *out, struct error *err);

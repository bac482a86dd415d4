#pragma once
#include "base/error.h"
#include <stdbool.h>

enum { PLATFORM_PART_SIZE = 32 };

/* What an image runs on, in the words of Go, e.g. linux/arm64/v8. */
struct platform {
	char os[PLATFORM_PART_SIZE];
	char architecture[PLATFORM_PART_SIZE];
	char variant[PLATFORM_PART_SIZE]; /* "" where it does not matter */
};

enum { PLATFORM_TEXT_SIZE = 3 * PLATFORM_PART_SIZE };

/* text: os/arch[/variant] or arch alone; NULL or "" is linux on this machine's CPU. */
int platform_parse(const char *text, struct platform *out, struct error *err);

/* From the fields of an index or config; absent ones are NULL. Also makes one way of writing out of
 * the several that are in use (x86_64, aarch64, arm64 with and without v8). */
void platform_set(struct platform *platform, const char *os, const char *architecture,
		  const char *variant);

/* Can what was asked for run what is offered? */
bool platform_matches(const struct platform *wanted, const struct platform *offered);

void platform_text(const struct platform *platform, char out[PLATFORM_TEXT_SIZE]);

#pragma once
#include <stdio.h>
#include <stdlib.h>

/* A statement about our own program that must hold; never about what a guest, an image or a user
 * may send. It is never compiled out: going on would be worse than ending. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0)) {                                           \
			(void)fprintf(stderr, "katavm: bug at %s:%d: %s\n", __FILE__, __LINE__,    \
				      #condition);                                                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#include "base/text.h"

#include <stdint.h>

/* The lead bytes of UTF-8, and what the byte behind each may be (Unicode, table 3-7). C2 is apart
 * because of C1: U+0080 to U+009F are controls. */
static const struct {
	uint8_t first, last;
	uint8_t second_min, second_max;
	uint8_t size;
} leads[] = {
	{ 0xc2, 0xc2, 0xa0, 0xbf, 2 }, { 0xc3, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
	{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
	{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

size_t text_printable(const char *text)
{
	const uint8_t *at = (const uint8_t *)text;

	if (*at < 0x80)
		return *at >= 0x20 && *at != 0x7f;
	for (size_t i = 0; i < sizeof leads / sizeof *leads; i++) {
		if (*at < leads[i].first || *at > leads[i].last)
			continue;
		if (at[1] < leads[i].second_min || at[1] > leads[i].second_max)
			return 0;
		for (size_t k = 2; k < leads[i].size; k++) /* stops at the end, which is a NUL */
			if ((at[k] & 0xc0) != 0x80)
				return 0;
		return leads[i].size;
	}
	return 0;
}

void text_make_printable(char *text)
{
	while (*text) {
		size_t size = text_printable(text);

		if (size == 0)
			*text = '?';
		text += size ? size : 1;
	}
}

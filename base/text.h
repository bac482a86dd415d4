#pragma once
#include <stddef.h>

/* Text of others (images, registries, guests) that a person's terminal will be shown. */

/* Bytes of the character at text when it is valid UTF-8 and moves no cursor: 0 for control
 * characters (C0, DEL, C1, which a terminal obeys in UTF-8, too) and at the end. */
size_t text_printable(const char *text);

/* Every byte that is not of such a character becomes '?'. */
void text_make_printable(char *text);

#pragma once
#include <stdbool.h>

/* Splits the calling process: the parent stays as the container's init, which forwards signals,
 * reaps what becomes its child, and ends as the child ends (128 + N for a signal); it never
 * returns. 0 in the child, which goes on to its program. terminal: the child's group becomes the
 * terminal's foreground. */
int init_split(bool terminal);

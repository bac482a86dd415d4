#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Whether who asks a container to stop has lost patience with it. Zeroed: not yet. */
struct impatience {
	unsigned requests, interrupts;
	uint64_t interrupted_ns;
};

/* A signal came at this CLOCK_MONOTONIC. True: it was the third SIGTERM, or the third SIGINT of
 * which each came within five seconds of the one before. A program may use SIGINT for what it
 * likes, as often as it likes over its life; pressed again and again it is a wish. */
bool impatience_is_over(struct impatience *impatience, int number, uint64_t now_ns);

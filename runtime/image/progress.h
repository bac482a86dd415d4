#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Progress of a pull or load, on stderr: a line that is redrawn on a terminal, one line per event
 * elsewhere, or one JSON object per line for programs. */
enum progress_mode { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };

struct progress {
	enum progress_mode mode;          /* AUTO became a terminal line, or PLAIN */
	const char *title;                /* the reference, borrowed */
	uint64_t done_bytes, total_bytes; /* downloads */
	uint64_t unpacked_bytes;          /* of layers on their way into the store */
	unsigned layers, layers_done;
	bool drawn; /* a line without its end is on the terminal */
	struct timespec started, last;
};

/* "auto", "plain", "json" or "none"; -EINVAL otherwise. */
int progress_parse(const char *text, enum progress_mode *out, struct error *err);

void progress_init(struct progress *progress, enum progress_mode mode, const char *title);

/* One event, e.g. ("layer", "sha256:…", "downloaded"). */
void progress_event(struct progress *progress, const char *what, const char *id, const char *event);

/* Byte counters changed; draws at most ten times a second (JSON: once). */
void progress_update(struct progress *progress);

/* Ends the terminal line. Safe to repeat. */
void progress_finish(struct progress *progress);

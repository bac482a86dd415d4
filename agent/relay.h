#pragma once
#include "agent/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Moves bytes one way, from one descriptor to another, until the source ends or the sink is gone,
 * and then closes both: a reader learns of the end, and a writer that nobody reads any more gets
 * SIGPIPE. Nothing is lost and nothing is kept beyond one buffer: a slow sink stops the source.
 */
enum relay_kind {
	RELAY_SPLICE, /* the source is a pipe */
	RELAY_COPY,
};

/* Which side is a socket still being connected; nothing moves before. */
enum relay_connecting { RELAY_CONNECTED, RELAY_SOURCE_CONNECTS, RELAY_SINK_CONNECTS };

enum relay_state {
	RELAY_UNUSED, /* as zeroed: there is no such stream */
	RELAY_CONNECT,
	RELAY_WAIT_SOURCE,
	RELAY_WAIT_SINK,
	RELAY_OVER,
};

struct relay {
	struct loop *loop;
	struct watch source, sink; /* descriptors owned */
	enum relay_kind kind;
	enum relay_state state;
	bool finishing;
	uint8_t *buffer; /* RELAY_COPY: [at, size) is still to be written */
	size_t at, size;
	void (*over)(struct relay *relay); /* told once; may be NULL */
};

/* Takes both non-blocking descriptors, also when it fails. */
int relay_start(struct relay *relay, struct loop *loop, enum relay_kind kind,
		enum relay_connecting connecting, int source, int sink,
		void (*over)(struct relay *relay));

/* What the source has now is still moved; then it ends as if the source had ended. */
void relay_finish(struct relay *relay);

/* Ends it at once; over is not called. */
void relay_stop(struct relay *relay);

/* No stream, or an ended one. */
bool relay_is_over(const struct relay *relay);
/* The source has nothing to give at this moment, and nothing is on its way. */
bool relay_is_idle(const struct relay *relay);

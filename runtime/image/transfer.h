#pragma once
#include "runtime/image/digest.h"
#include "runtime/image/progress.h"
#include "runtime/image/session.h"
#include "runtime/image/store.h"

/*
 * Downloads of blobs into the store's tmp/, several at a time: resumed where an earlier try or an
 * earlier katavm stopped, verified, and shared with whoever else wants the same blob now.
 *
 *   part-HEX   being downloaded by the holder of its exclusive lock
 *   blob-HEX   complete and verified; users hold shared locks
 */
enum transfer_state {
	TRANSFER_IDLE,   /* not asked for */
	TRANSFER_QUEUED, /* waits for its turn, or for another katavm that has it */
	TRANSFER_RUNNING,
	TRANSFER_PAUSED,   /* failed, and will be tried again at retry_ns */
	TRANSFER_DONE,     /* file is open */
	TRANSFER_NEEDLESS, /* what it was for has come into the store meanwhile */
	TRANSFER_FAILED,
};

struct transfers;

struct transfer {
	struct transfers *owner;
	char digest[IMAGE_DIGEST_SIZE];
	char object[IMAGE_DIGEST_SIZE]; /* the layer that it is for */
	uint64_t size;
	enum transfer_state state;
	int file; /* part or blob; -1 */
	CURL *easy;
	struct curl_slist *headers;
	struct response response; /* headers, and the body of a refusal */
	struct digester digester;
	uint64_t have, resumed_at, counted;
	bool is_ranged, is_accepted, is_logged_in, was_resumed;
	unsigned failures, tries;
	uint64_t retry_ns;
	struct error err;
};

struct transfers {
	struct session *session;
	const struct store *store;
	struct progress *progress;
	CURLM *multi;
	struct transfer *items;
	size_t count;
};

int transfers_init(struct transfers *transfers, struct session *session, const struct store *store,
		   struct progress *progress, size_t count, struct error *err);
void transfers_finish(struct transfers *transfers);

/* Starts what may start and moves what runs; waits up to timeout_ms for something to happen. */
int transfers_pump(struct transfers *transfers, int timeout_ms, struct error *err);

/* Until it is there: *fd is open at its start. -EALREADY, err unset: needless. */
int transfers_wait(struct transfers *transfers, size_t index, int *fd, struct error *err);

/* The blob is not needed again. */
void transfers_drop(struct transfers *transfers, size_t index);

/* All layers are in the store: what killed ones left of their downloads goes, too. */
void transfers_clean(const struct transfers *transfers);

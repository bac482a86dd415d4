#pragma once
#include <stdbool.h>
#include <stdint.h>

/*
 * When a queue's driver is to kick: for each request, or once for several. A kick is an exit of the
 * guest and takes the processor from it where there is no second one. A device whose requests are
 * done at once then gets each of them alone, whatever the driver would have queued. So after many
 * requests that came alone, the driver is asked to kick for the second, and a timer looks after
 * what is offered meanwhile: a driver that has only one request at a time is found out by it, and
 * left in peace twice as long. One that fills the batch gets a larger one.
 *
 * Plain values: no clock, no memory of its own. What the guest does changes how long its requests
 * may lie, never more than KICK_BATCH_WAIT_NS, and nothing else.
 */
enum {
	KICK_BATCH_WAIT_NS = 100 * 1000, /* how long a request may lie */
	KICK_BATCH_MOST = 16,
	KICK_BATCH_FIRST_TRIAL = 256, /* requests that came alone, before a trial */
	KICK_BATCH_LAST_TRIAL = 4096,
	KICK_BATCH_FIRST_GROWTH = 4, /* full batches, before a larger one is tried */
	KICK_BATCH_LAST_GROWTH = 1024,
};

/* Why the queue was looked at. */
enum kick_batch_look { KICK_BATCH_KICKED, KICK_BATCH_TIMED_OUT };

struct kick_batch {
	uint16_t size; /* of a batch; 1: every request is to be kicked for */
	uint16_t alone, trial_after;
	uint16_t full, growth_after;
};

void kick_batch_init(struct kick_batch *batch);

/* `count` requests were taken, and the driver had been asked for a kick for each. */
void kick_batch_took(struct kick_batch *batch, unsigned count);
/* The same, when it had been asked to kick for batch->size of them. */
void kick_batch_waited(struct kick_batch *batch, unsigned count, enum kick_batch_look look);

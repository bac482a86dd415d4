#include "devices/kick_batch.h"

void kick_batch_init(struct kick_batch *batch)
{
	*batch = (struct kick_batch){ .size = 1,
				      .trial_after = KICK_BATCH_FIRST_TRIAL,
				      .growth_after = KICK_BATCH_FIRST_GROWTH };
}

static uint16_t twice(uint16_t value, unsigned most)
{
	return (uint16_t)(value * 2U < most ? value * 2U : most);
}

static void stop(struct kick_batch *batch)
{
	batch->size = 1;
	batch->alone = 0;
	batch->full = 0;
	batch->growth_after = KICK_BATCH_FIRST_GROWTH;
}

void kick_batch_took(struct kick_batch *batch, unsigned count)
{
	if (count == 0)
		return;
	if (count > 1) { /* it can have several: a trial may be worth it */
		batch->alone = 0;
		batch->trial_after = (uint16_t)(batch->trial_after / count);
		if (batch->trial_after < KICK_BATCH_FIRST_TRIAL)
			batch->trial_after = KICK_BATCH_FIRST_TRIAL;
		return;
	}
	if (++batch->alone < batch->trial_after)
		return;
	batch->alone = 0;
	batch->size = 2;
}

/* A full batch: the driver has more than one request at a time, and perhaps more than these. */
static void grow(struct kick_batch *batch)
{
	batch->trial_after = KICK_BATCH_FIRST_TRIAL;
	if (batch->size == KICK_BATCH_MOST || ++batch->full < batch->growth_after)
		return;
	batch->full = 0;
	batch->size = twice(batch->size, KICK_BATCH_MOST);
}

void kick_batch_waited(struct kick_batch *batch, unsigned count, enum kick_batch_look look)
{
	if (count >= batch->size) {
		grow(batch);
	} else if (look == KICK_BATCH_KICKED) {
		return; /* it was on its way before we asked */
	} else if (count > 1) {
		batch->size = (uint16_t)count;
		batch->full = 0;
		batch->growth_after = twice(batch->growth_after, KICK_BATCH_LAST_GROWTH);
	} else {
		/* One alone has waited for nothing; none says nothing about those to come. */
		if (count == 1)
			batch->trial_after = twice(batch->trial_after, KICK_BATCH_LAST_TRIAL);
		stop(batch);
	}
}

#pragma once
#include "agent/protocol/ttrpc_client.h"
#include <stdbool.h>
#include <stdint.h>

/*
 * Looks after a guest that runs: asks its agent now and then whether it lives, with the time of
 * day, so that the guest's clock does not drift; and sets that clock at once when the host's was
 * set or the host has slept. One thread, in a poll loop of its owner's.
 */
struct watchdog {
	/* set by the owner before watchdog_start */
	struct ttrpc_client *agent;
	unsigned limit_seconds; /* without an answer; 0: nothing is asked */
	void (*say)(void *context, const char *sentence);
	void *context;
	/* private */
	int clock_fd;
	bool is_said;
	uint64_t ask_ns, asked_ns; /* CLOCK_MONOTONIC; 0: not to be asked, not asked */
};

/* The guest is up. */
void watchdog_start(struct watchdog *watchdog);
/* Accepts one that was zeroed and never started. */
void watchdog_finish(struct watchdog *watchdog);

/* Poll for POLLIN, or negative: nothing to poll. */
int watchdog_fd(const struct watchdog *watchdog);
/* When watchdog_process has to be called at the latest; -1: no need. */
int watchdog_timeout_ms(const struct watchdog *watchdog);

/* After the agent's answers were taken. True: the guest has not answered for too long, which was
 * said just now; it is said again only if it happens again. */
bool watchdog_process(struct watchdog *watchdog);

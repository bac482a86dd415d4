#pragma once
#include "base/error.h"
#include "runtime/net/lease.h"
#include "runtime/net/network.h"

#include <stdio.h>
#include <sys/types.h>

/*
 * The host's packet filter, as commands for `nft -j`: tables "katavm" of our own, of which the
 * fixed part is written whenever it is not all there (so that somebody's `nft flush ruleset` is
 * mended by the next container) and the part that is each sandbox's consists of elements of sets
 * and maps. One batch is one transaction: all of it is done or nothing.
 */
struct rules {
	FILE *out;
	char *text;
	size_t size;
	bool separator;
};

/* What a sandbox with --allow-host may reach. */
struct rules_target {
	struct ip ip;
	uint16_t port; /* 0: all, of TCP and UDP; and ICMP */
};

int rules_begin(struct rules *rules, struct error *err);
/* The fixed part, when the host's kernel does not have it as this program writes it. */
void rules_need_base(struct rules *rules);
void rules_add_base(struct rules *rules);
void rules_add_network(struct rules *rules, const struct network *network);
void rules_remove_network(struct rules *rules, const struct network *network);
void rules_add_lease(struct rules *rules, const struct lease *lease);
/* Also when not all of it is there. */
void rules_remove_lease(struct rules *rules, const struct lease *lease);
/* For a restricted lease; targets are what it may reach. The log group hears of the rest, unless it
 * is 0. */
void rules_add_targets(struct rules *rules, const struct lease *lease,
		       const struct rules_target *targets, size_t count, uint16_t log_group);
/* More of them, later. */
void rules_insert_targets(struct rules *rules, const struct lease *lease,
			  const struct rules_target *targets, size_t count);
void rules_finish(struct rules *rules);

/* nft at work. */
struct rules_run {
	pid_t pid; /* 0: none */
	int error_fd;
};

/* Is nft there to be run? The error says what to do about it. */
int rules_find_nft(char path[PATH_MAX], struct error *err);
/* Starts it with the batch; rules may be finished at once. */
int rules_start(struct rules *rules, struct rules_run *out, struct error *err);
/* Waits for its end. Accepts one that was never started. */
int rules_wait(struct rules_run *run, struct error *err);

/* How much a restricted sandbox was denied so far: blocks for as long as nft takes. */
struct rules_denied {
	uint64_t packets, bytes;
};
int rules_read_denied(const struct lease *lease, struct rules_denied *out, struct error *err);

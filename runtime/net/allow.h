#pragma once
#include "base/error.h"
#include "runtime/arena.h"
#include "runtime/net/net.h"
#include "runtime/net/rules.h"

/*
 * --allow-host: what a sandbox may reach, when it may not reach everything. Names are looked up
 * here, on the host, before the guest runs, and the guest is told what was found in /etc/hosts: it
 * has no name server to ask, so nothing can be smuggled out in questions, and no answer of its own
 * choosing widens what is allowed.
 */
struct allow {
	const char *host; /* a name, or the text of an address; in the arena */
	uint16_t port;    /* 0: any */
};

/* HOST, HOST:PORT, ADDRESS, [ADDRESS]:PORT. */
int allow_parse(const char *text, struct arena *arena, struct allow *out, struct error *err);

/* Looks all of them up; lists live in arena. Waits for the host's name servers. */
int allow_resolve(const struct texts *allowed, struct arena *arena, struct rules_target **targets,
		  size_t *target_count, struct net_name **names, size_t *name_count,
		  struct error *err);

#pragma once
#include "base/error.h"
#include "runtime/arena.h"
#include "runtime/net/net.h"
#include "runtime/net/rules.h"

/*
 * --allow-host: what a sandbox may reach, when it may not reach everything. Names are looked up on
 * the host, before the guest runs and again while it does, and the guest is told what was found in
 * /etc/hosts: it has no name server to ask, so nothing can be smuggled out in questions, and no
 * answer of its own choosing widens what is allowed.
 */
enum { ALLOW_MAX_ADDRESSES = 64 }; /* that are kept of one name */

struct allow {
	const char *host; /* a name, or the text of an address; in the arena */
	uint16_t port;    /* 0: any */
	bool is_name;
};

/* What it came to. Everything is in the arena of allow_resolve. */
struct allowed {
	size_t count, target_count, name_count;
	struct allow *list;
	struct rules_target *targets; /* room for ALLOW_MAX_ADDRESSES of each of the list */
	struct net_name *names;       /* of the targets that were found by name */
};

/* HOST, HOST:PORT, ADDRESS, [ADDRESS]:PORT. */
int allow_parse(const char *text, struct arena *arena, struct allow *out, struct error *err);

/* The addresses of a name, as many as fit, or -ENOENT. Waits for the host's name servers. */
int allow_look_up(const char *name, struct ip ips[ALLOW_MAX_ADDRESSES], struct error *err);

/* One more address of list[index]; false: it is there already, or there are too many. */
bool allow_add(struct allowed *allowed, size_t index, const struct ip *ip);

/* Parses the texts and looks all of them up. */
int allow_resolve(const struct texts *texts, struct arena *arena, struct allowed *out,
		  struct error *err);

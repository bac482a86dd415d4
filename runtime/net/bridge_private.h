#pragma once
#include "runtime/net/allow_again.h"
#include "runtime/net/bridge.h"
#include "runtime/net/denials.h"
#include "runtime/net/lease.h"
#include "runtime/net/network.h"
#include "runtime/net/ports.h"
#include "runtime/net/resolver.h"
#include "runtime/net/rules.h"

enum { DEAD_MAX = 256 }; /* cleaned by one start */

struct bridge {
	struct network network;
	struct lease lease;
	struct resolver resolver;
	struct ports ports;
	struct allowed allowed; /* of a restricted sandbox, as are the next two */
	struct allow_again again;
	struct denials denials;
	struct rules_run run;
	struct lease dead[DEAD_MAX];
	size_t dead_count;
	int names_fd;
	int event_fd; /* an epoll of all that net_process looks at */
	int index;
	const char *own_names; /* behind our address in /etc/hosts */
	bool has_v6;
};

/* Before the names are read first: a change after that is not missed. */
int bridge_watch_names(struct bridge *bridge, struct error *err);
bool bridge_names_changed(const struct bridge *bridge);

/* What there is to look at while the sandbox runs. */
int bridge_open_events(struct bridge *bridge, struct error *err);

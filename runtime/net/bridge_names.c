#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/bridge_private.h"

#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

struct names {
	struct arena *arena;
	struct net *net;
	size_t capacity;
	bool has_v6;
};

static void add_name(struct names *names, const struct ip *ip, const char *text)
{
	struct net *net = names->net;

	if (!ip->size || (ip->size == 16 && !names->has_v6))
		return;
	if (net->name_count == names->capacity) {
		struct net_name *larger;

		names->capacity = names->capacity ? 2 * names->capacity : 8;
		larger = arena_alloc(names->arena, names->capacity * sizeof *larger);
		if (net->name_count)
			memcpy(larger, net->names, net->name_count * sizeof *larger);
		net->names = larger;
	}
	net->names[net->name_count++] = (struct net_name){ .ip = *ip, .names = text };
}

static int add_peer(void *context, struct lease *lease, bool alive)
{
	struct names *names = context;
	const char *text;

	if (!alive || !lease->id || lease->ending)
		return 0;
	text = arena_print(names->arena, "%s%s%.12s", lease->name ? lease->name : "",
			   lease->name ? " " : "", lease->id);
	for (size_t i = 0; i < lease->aliases.count; i++)
		text = arena_print(names->arena, "%s %s", text, lease->aliases.list[i]);
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++)
		add_name(names, &lease->addresses[kind], text);
	return 0;
}

static bool has_peers(const struct bridge *bridge)
{
	return !bridge->lease.restricted && strcmp(bridge->network.name, NETWORK_DEFAULT) != 0;
}

void bridge_names_read(const struct bridge *bridge, struct arena *arena, struct net *net)
{
	struct names names = { .arena = arena, .net = net, .has_v6 = bridge->has_v6 };
	struct error err;

	net->name_count = 0;
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++)
		add_name(&names, &bridge->lease.addresses[kind], bridge->own_names);
	for (size_t i = 0; i < bridge->allowed.name_count; i++)
		add_name(&names, &bridge->allowed.names[i].ip, bridge->allowed.names[i].names);
	if (has_peers(bridge))
		(void)lease_each(bridge->network.name, false, arena, add_peer, &names, &err);
}

int bridge_watch_names(struct bridge *bridge, struct error *err)
{
	char path[PATH_MAX];
	int r;

	if (!has_peers(bridge))
		return 0;
	r = lease_folder(bridge->network.name, path, err);
	if (r < 0)
		return r;
	bridge->names_fd = (int)SYS(inotify_init1, IN_CLOEXEC | IN_NONBLOCK);
	r = bridge->names_fd;
	if (r >= 0)
		r = (int)SYS(inotify_add_watch, bridge->names_fd, path,
			     IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE);
	return r < 0 ? error_set(err, r, "watch %.120s: %s", path, sys_text(r)) : 0;
}

bool bridge_names_changed(const struct bridge *bridge)
{
	char events[4096];
	bool changed = false;

	while (bridge->names_fd >= 0 &&
	       SYS_RETRY(read, bridge->names_fd, events, sizeof events) > 0)
		changed = true;
	return changed;
}

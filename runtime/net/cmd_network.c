/* katavm network create, ls, rm, inspect. */
#include "base/own.h"
#include "base/sys.h"
#include "runtime/command_output.h"
#include "runtime/net/commands.h"
#include "runtime/net/lease.h"
#include "runtime/net/network.h"
#include "runtime/net/rules.h"

#include <json-c/json.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static int need_root(struct error *err)
{
	return geteuid() == 0
		   ? 0
		   : error_set(err, -EPERM, "networks are bridges of the host, which root makes");
}

/* --- create --- */

static int take_subnets(const struct options *options, struct network_wish *wish, struct error *err)
{
	const char *text;

	for (size_t cursor = 0; (text = options_next(options, "subnet", &cursor));) {
		enum network_kind kind = strchr(text, ':') ? NETWORK_V6 : NETWORK_V4;

		if (wish->subnets[kind])
			return error_set(err, -EINVAL, "--subnet: a network has one of %s",
					 kind == NETWORK_V4 ? "IPv4" : "IPv6");
		wish->subnets[kind] = text;
	}
	return 0;
}

static int create_main(const struct options *options)
{
	struct network_wish wish = {
		.name = options->arguments[0],
		.gateway = options_value(options, "gateway"),
		.mtu = options_value(options, "mtu"),
		.internal = options_flag(options, "internal"),
		.no_v6 = options_flag(options, "no-ipv6"),
	};
	struct network network;
	struct error err;
	own_fd lock = -1;
	int r = need_root(&err);

	if (r == 0)
		r = take_subnets(options, &wish, &err);
	if (r == 0 && wish.no_v6 && wish.subnets[NETWORK_V6])
		r = error_set(&err, -EINVAL, "--no-ipv6 and --subnet %s do not go together",
			      wish.subnets[NETWORK_V6]);
	if (r < 0)
		return command_failed(&err);
	lock = lease_lock(&err);
	if (lock < 0 || network_create(&wish, &network, &err) < 0)
		return command_failed(&err);
	(void)puts(network.name);
	return 0;
}

static const struct option_spec create_options[] = {
	{ "gateway", 0, OPTION_VALUE, "ADDRESS", "the host's IPv4 address on it", NULL },
	{ "internal", 0, OPTION_FLAG, NULL, "nothing leaves it", NULL },
	{ "mtu", 0, OPTION_VALUE, "BYTES", "largest packet (default 1500)", NULL },
	{ "no-ipv6", 0, OPTION_FLAG, NULL, "only IPv4", NULL },
	{ "subnet", 0, OPTION_LIST, "NETWORK", "its addresses, such as 10.1.2.0/24", NULL },
	{ 0 },
};

const struct command network_create_command = {
	.name = "network create",
	.arguments = "NAME",
	.summary = "Make a network that containers can be put on",
	.description = "Containers that are started with --network NAME see each other, by name "
		       "and by id. Addresses\nthat are not given are chosen among what the host "
		       "does not use.",
	.options = create_options,
	.min_arguments = 1,
	.max_arguments = 1,
	.main = create_main,
};

/* --- ls --- */

static json_object *network_object(const struct network *network)
{
	json_object *top = json_object_new_object();
	char text[IP_TEXT_SIZE], subnet[IP_TEXT_SIZE + 8];

	(void)json_object_object_add(top, "name", json_object_new_string(network->name));
	(void)json_object_object_add(top, "bridge", json_object_new_string(network->bridge));
	(void)json_object_object_add(top, "mtu", json_object_new_int((int)network->mtu));
	(void)json_object_object_add(top, "internal", json_object_new_boolean(network->internal));
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++) {
		if (!network->subnets[kind].ip.size)
			continue;
		(void)snprintf(subnet, sizeof subnet, "%s/%u",
			       ip_print(&network->subnets[kind].ip, text),
			       network->subnets[kind].length);
		(void)json_object_object_add(top, kind == NETWORK_V4 ? "subnet" : "subnet6",
					     json_object_new_string(subnet));
		(void)json_object_object_add(
		    top, kind == NETWORK_V4 ? "gateway" : "gateway6",
		    json_object_new_string(ip_print(&network->gateways[kind], text)));
	}
	return top;
}

static int print_network(void *context, const struct network *network)
{
	const struct command_listing *listing = context;
	char texts[NETWORK_KINDS][IP_TEXT_SIZE + 8] = { "", "" };

	if (listing->quiet) {
		(void)puts(network->name);
		return 0;
	}
	if (listing->json) {
		command_print_json(network_object(network), false);
		return 0;
	}
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++) {
		char text[IP_TEXT_SIZE];

		if (network->subnets[kind].ip.size)
			(void)snprintf(texts[kind], sizeof texts[kind], "%s/%u",
				       ip_print(&network->subnets[kind].ip, text),
				       network->subnets[kind].length);
	}
	(void)printf("%-20s  %-10s  %-18s  %-26s  %s\n", network->name, network->bridge,
		     texts[NETWORK_V4], texts[NETWORK_V6], network->internal ? "internal" : "");
	return 0;
}

static int ls_main(const struct options *options)
{
	struct command_listing listing = command_listing(options);
	struct error err;

	if (!listing.quiet && !listing.json)
		(void)printf("%-20s  %-10s  %-18s  %s\n", "NAME", "BRIDGE", "SUBNET", "IPV6");
	return network_each(print_network, &listing, &err) < 0 ? command_failed(&err) : 0;
}

static const struct option_spec ls_options[] = {
	{ "format", 0, OPTION_VALUE, "FORMAT", "a table, or one JSON object a line", "table|json" },
	{ "quiet", 'q', OPTION_FLAG, NULL, "print only names", NULL },
	{ 0 },
};

const struct command network_ls_command = {
	.name = "network ls",
	.arguments = "",
	.summary = "List networks",
	.options = ls_options,
	.main = ls_main,
};

/* --- rm --- */

struct user {
	char name[NETWORK_NAME_SIZE + 8];
};

static int find_user(void *context, struct lease *lease, bool alive)
{
	struct user *user = context;

	if (alive)
		(void)snprintf(user->name, sizeof user->name, "%.64s",
			       lease->name ? lease->name
			       : lease->id ? lease->id
					   : "that is starting");
	return alive;
}

/* The rules of those that were killed go with the network's own. */
static int put_removal(void *context, struct lease *lease, bool alive)
{
	(void)alive;
	if (lease->id)
		rules_remove_lease(context, lease);
	lease_release(lease);
	return 0;
}

static int remove_rules(const struct network *network, struct error *err)
{
	struct arena arena = { 0 };
	struct rules_run run = { 0 };
	struct rules rules;
	char path[PATH_MAX];
	int r = rules_find_nft(path, err);

	if (r < 0)
		return 0; /* then there are no rules either */
	r = rules_begin(&rules, err);
	if (r < 0)
		return r;
	rules_need_base(&rules);
	rules_remove_network(&rules, network);
	r = lease_each(network->name, true, &arena, put_removal, &rules, err);
	if (r == 0)
		r = rules_start(&rules, &run, err);
	if (r == 0)
		r = rules_wait(&run, err);
	rules_finish(&rules);
	arena_finish(&arena);
	return r;
}

static int remove_network(const char *name, struct error *err)
{
	struct arena arena = { 0 };
	struct network network;
	struct user user = { "" };
	char folder[PATH_MAX];
	int r = network_load(name, &network, err);

	if (r == 0)
		r = lease_each(name, false, &arena, find_user, &user, err);
	arena_finish(&arena);
	if (r > 0)
		return error_set(err, -EBUSY, "the network \"%s\" is in use by container %s", name,
				 user.name);
	if (r == 0)
		r = remove_rules(&network, err);
	if (r == 0)
		r = network_lower(&network, err);
	if (r == 0)
		r = network_remove(name, err);
	if (r == 0 && lease_folder(name, folder, err) == 0)
		(void)SYS(rmdir, folder);
	return r;
}

static int rm_main(const struct options *options)
{
	struct error err;
	own_fd lock = -1;
	int status = 0;

	if (need_root(&err) < 0)
		return command_failed(&err);
	lock = lease_lock(&err);
	if (lock < 0)
		return command_failed(&err);
	for (size_t i = 0; i < options->argument_count; i++) {
		if (remove_network(options->arguments[i], &err) < 0)
			status = command_failed(&err);
		else
			(void)puts(options->arguments[i]);
	}
	return status;
}

const struct command network_rm_command = {
	.name = "network rm",
	.arguments = "NAME...",
	.summary = "Remove networks that no container is on",
	.description = "The network default can be removed, too: it is made anew when it is "
		       "needed.",
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.main = rm_main,
};

/* --- inspect --- */

static int add_container(void *context, struct lease *lease, bool alive)
{
	json_object *list = context, *one;
	char text[IP_TEXT_SIZE], mac[IP_MAC_TEXT_SIZE];

	if (!alive || !lease->id || lease->ending)
		return 0;
	one = json_object_new_object();
	(void)json_object_object_add(one, "id", json_object_new_string(lease->id));
	if (lease->name)
		(void)json_object_object_add(one, "name", json_object_new_string(lease->name));
	(void)json_object_object_add(one, "mac",
				     json_object_new_string(ip_print_mac(lease->mac, mac)));
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++)
		if (lease->addresses[kind].size)
			(void)json_object_object_add(
			    one, kind == NETWORK_V4 ? "address" : "address6",
			    json_object_new_string(ip_print(&lease->addresses[kind], text)));
	if (lease->restricted) {
		struct rules_denied denied;
		struct error err;

		if (rules_read_denied(lease, &denied, &err) == 0) {
			(void)json_object_object_add(one, "deniedPackets",
						     json_object_new_uint64(denied.packets));
			(void)json_object_object_add(one, "deniedBytes",
						     json_object_new_uint64(denied.bytes));
		}
	}
	(void)json_object_array_add(list, one);
	return 0;
}

static int inspect_main(const struct options *options)
{
	json_object *all = json_object_new_array();
	int status = 0;

	for (size_t i = 0; i < options->argument_count; i++) {
		json_object *containers = json_object_new_array(), *top;
		struct arena arena = { 0 };
		struct network network;
		struct error err;

		if (network_load(options->arguments[i], &network, &err) < 0 ||
		    lease_each(network.name, false, &arena, add_container, containers, &err) < 0) {
			status = command_failed(&err);
			(void)json_object_put(containers);
		} else {
			top = network_object(&network);
			(void)json_object_object_add(top, "containers", containers);
			(void)json_object_array_add(all, top);
		}
		arena_finish(&arena);
	}
	command_print_json(all, true);
	return status;
}

const struct command network_inspect_command = {
	.name = "network inspect",
	.arguments = "NAME...",
	.summary = "Print what is known of networks, and who is on them, as JSON",
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.main = inspect_main,
};

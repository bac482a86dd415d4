/* Files about networks: the first byte chooses which, the rest is the file. What is found good is
 * turned into rules, which must be the one JSON document nft gets whatever the file said. */
#include "runtime/net/resolver.h"
#include "runtime/net/rules.h"
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rules(struct rules *rules)
{
	json_object *top;

	(void)fputs("]}", rules->out);
	if (fflush(rules->out) != 0)
		abort();
	top = json_tokener_parse(rules->text);
	if (!top)
		abort();
	(void)json_object_put(top);
	rules_finish(rules);
}

static void try_network(const char *text, size_t size)
{
	struct network network;
	struct rules rules;
	struct error err;

	if (network_parse(text, size, &network) < 0)
		return;
	if (!ip_within(&network.gateways[NETWORK_V4], &network.subnets[NETWORK_V4]) ||
	    rules_begin(&rules, &err) < 0)
		abort();
	rules_add_network(&rules, &network);
	rules_remove_network(&rules, &network);
	check_rules(&rules);
}

static void try_lease(const char *text, size_t size)
{
	struct lease lease = { .fd = -1 };
	struct arena arena = { 0 };
	struct rules rules;
	struct error err;

	if (lease_parse(text, size, &arena, &lease) == 0) {
		if (strlen(lease.id) != 64 || rules_begin(&rules, &err) < 0)
			abort();
		rules_add_lease(&rules, &lease);
		rules_remove_lease(&rules, &lease);
		check_rules(&rules);
	}
	arena_finish(&arena);
}

static void try_resolver(const char *text, size_t size)
{
	struct resolver resolver = { 0 };
	struct arena arena = { 0 };

	resolver_parse(text, size, &arena, &resolver);
	for (size_t i = 0; i < resolver.servers.count; i++) {
		struct ip ip;

		if (i == 3 || !ip_parse(resolver.servers.list[i], &ip) || ip_is_loopback(&ip))
			abort();
	}
	for (size_t i = 0; i < resolver.search.count; i++)
		if (strpbrk(resolver.search.list[i], " \t\n"))
			abort();
	arena_finish(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 3 == 0)
		try_network((const char *)data + 1, size - 1);
	else if (data[0] % 3 == 1)
		try_lease((const char *)data + 1, size - 1);
	else
		try_resolver((const char *)data + 1, size - 1);
	return 0;
}

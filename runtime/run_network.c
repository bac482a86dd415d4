/* The flags of `katavm run` about networks. */
#include "runtime/run_config.h"

#include "runtime/net/allow.h"
#include "runtime/net/netns.h"
#include "runtime/net/network.h"
#include "runtime/net/publish.h"

#include <errno.h>
#include <string.h>

static void collect(const struct options *options, const char *name, struct arena *arena,
		    struct texts *out)
{
	const char *value;

	for (size_t cursor = 0; (value = options_next(options, name, &cursor));)
		texts_add(arena, out, value);
}

/* What was said last of --network and --net, which mean the same; what is behind a comma is about
 * the interface. */
static int given_network(const struct options *options, struct arena *arena, struct run_config *out,
			 const char **network, struct error *err)
{
	const char *text = options_value(options, "network"), *comma;
	char *name;
	int r;

	if (!text)
		text = options_value(options, "net");
	*network = text;
	comma = text ? strchr(text, ',') : NULL;
	if (!comma)
		return 0;
	r = interface_options_parse(comma + 1, &out->interface_options, err);
	if (r < 0)
		return r;
	name = arena_print(arena, "%.*s", (int)(comma - text), text);
	if (strcmp(name, "none") == 0)
		return error_set(err, -EINVAL,
				 "--network %s: there is no interface without a network", text);
	*network = name;
	return 0;
}

static int choose(const struct options *options, struct arena *arena, struct run_config *out,
		  struct error *err)
{
	const char *network;
	int r = given_network(options, arena, out, &network, err);

	if (r < 0)
		return r;

	if (options_flag(options, "no-net")) {
		if (network && strcmp(network, "none") != 0)
			return error_set(err, -EINVAL,
					 "--no-net and --network %s do not go together", network);
		return 0;
	}
	out->network_optional = network == NULL;
	if (!network || strcmp(network, "bridge") == 0) /* as Docker calls it */
		network = NETWORK_DEFAULT;
	if (strcmp(network, "none") == 0)
		return 0;
	if (strcmp(network, "host") == 0 || strncmp(network, "container:", 10) == 0)
		return error_set(err, -ENOTSUP,
				 "--network %s cannot be: a virtual machine has a network of its "
				 "own",
				 network);
	out->network = network;
	if (strncmp(network, NETNS_PREFIX, strlen(NETNS_PREFIX)) == 0)
		return 0;
	return network_check_name(network, err);
}

static int make_address(const struct options *options, struct run_config *out, struct error *err)
{
	const char *ip = options_value(options, "ip");

	if (!ip)
		return 0;
	if (!ip_parse(ip, &out->ip) || out->ip.size != 4)
		return error_set(err, -EINVAL, "--ip is an IPv4 address, not \"%s\"", ip);
	return 0;
}

static int check_alone(const struct run_config *config, struct error *err)
{
	if (config->network)
		return 0;
	if (config->ip.size || config->aliases.count || config->ports.count ||
	    config->allow_hosts.count)
		return error_set(
		    err, -EINVAL,
		    "--publish, --allow-host, --ip and --network-alias need a network");
	return 0;
}

int run_network_make(const struct options *options, struct arena *arena, struct run_config *out,
		     struct error *err)
{
	const char *value;
	int result = choose(options, arena, out, err);

	if (result == 0)
		result = make_address(options, out, err);
	for (size_t cursor = 0;
	     result == 0 && (value = options_next(options, "network-alias", &cursor));)
		result = parse_hostname(value, err);
	for (size_t cursor = 0;
	     result == 0 && (value = options_next(options, "publish", &cursor));) {
		struct publish publish;

		result = publish_parse(value, &publish, err);
	}
	for (size_t cursor = 0;
	     result == 0 && (value = options_next(options, "allow-host", &cursor));) {
		struct allow allow;

		result = allow_parse(value, arena, &allow, err);
	}
	if (result < 0)
		return result;
	collect(options, "allow-host", arena, &out->allow_hosts);
	collect(options, "publish", arena, &out->ports);
	collect(options, "network-alias", arena, &out->aliases);
	if (out->network && strncmp(out->network, NETNS_PREFIX, strlen(NETNS_PREFIX)) == 0 &&
	    (out->ip.size || out->aliases.count || out->ports.count || out->allow_hosts.count))
		return error_set(err, -EINVAL,
				 "--publish, --allow-host, --ip and --network-alias are for "
				 "katavm's own networks: what is "
				 "in a given network namespace stays as it is");
	/* who asks for what only a network has, asks for a network */
	if (out->ip.size || out->aliases.count || out->ports.count || out->allow_hosts.count)
		out->network_optional = false;
	return check_alone(out, err);
}

#include "runtime/net/commands.h"
#include "runtime/net/lease.h"
#include "runtime/parse.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 125 };

struct asked {
	const char *container;
	uint16_t guest_port; /* 0: all */
	uint8_t protocol;
	bool found_container, found_port;
};

static bool is_meant(const struct lease *lease, const char *text)
{
	return (lease->name && strcmp(lease->name, text) == 0) ||
	       (lease->id && strlen(text) >= 3 && strncmp(lease->id, text, strlen(text)) == 0);
}

static void print_host(const struct ip *ip, uint16_t port)
{
	char text[IP_TEXT_SIZE];

	if (ip->size == 0)
		(void)printf("0.0.0.0:%u\n", port);
	else
		(void)printf(ip->size == 16 ? "[%s]:%u\n" : "%s:%u\n", ip_print(ip, text), port);
}

static int print_ports(void *context, struct lease *lease, bool alive)
{
	struct asked *asked = context;

	if (!alive || lease->ending || !is_meant(lease, asked->container))
		return 0;
	asked->found_container = true;
	for (size_t i = 0; i < lease->port_count; i++) {
		const struct lease_port *port = &lease->ports[i];

		if (asked->guest_port &&
		    (asked->guest_port != port->guest_port || asked->protocol != port->protocol))
			continue;
		asked->found_port = true;
		if (!asked->guest_port)
			(void)printf("%u/%s -> ", port->guest_port,
				     port->protocol == IPPROTO_UDP ? "udp" : "tcp");
		print_host(&port->host, port->host_port);
	}
	return 0;
}

static bool parse_asked(const char *text, struct asked *out)
{
	char *copy = strdup(text), *slash = copy ? strchr(copy, '/') : NULL;
	uint64_t port;
	bool good;

	out->protocol = IPPROTO_TCP;
	if (slash) {
		*slash = '\0';
		if (strcmp(slash + 1, "udp") == 0)
			out->protocol = IPPROTO_UDP;
	}
	good = copy && (!slash || strcmp(slash + 1, "tcp") == 0 || strcmp(slash + 1, "udp") == 0) &&
	       parse_number(copy, UINT16_MAX, &port) && port > 0;
	if (good)
		out->guest_port = (uint16_t)port;
	free(copy);
	return good;
}

static int port_main(const struct options *options)
{
	struct asked asked = { .container = options->arguments[0] };
	struct arena arena = { 0 };
	struct error err;
	int r;

	if (options->argument_count == 2 && !parse_asked(options->arguments[1], &asked)) {
		(void)fprintf(stderr, "katavm: \"%s\" is no port such as 80 or 53/udp\n",
			      options->arguments[1]);
		return EXIT_USAGE;
	}
	r = lease_each(NULL, false, &arena, print_ports, &asked, &err);
	if (r < 0)
		(void)fprintf(stderr, "katavm: %s\n", err.text);
	else if (!asked.found_container)
		(void)fprintf(stderr, "katavm: no running container \"%s\" is on a network\n",
			      asked.container);
	else if (options->argument_count == 2 && !asked.found_port)
		(void)fprintf(stderr, "katavm: port %s of \"%s\" is not published\n",
			      options->arguments[1], asked.container);
	arena_finish(&arena);
	return r < 0 || !asked.found_container || (asked.guest_port && !asked.found_port);
}

const struct command port_command = {
	.name = "port",
	.arguments = "CONTAINER [PORT[/udp]]",
	.summary = "List the ports of the host that lead to a container",
	.description = "CONTAINER is the name, or the beginning of the id, of one that runs.",
	.min_arguments = 1,
	.max_arguments = 2,
	.main = port_main,
};

#include "runtime/net/allow.h"

#include "runtime/parse.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

enum { MAX_ADDRESSES = 64, MAX_NAME = 253 }; /* of one name */

static bool is_name(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t size = strlen(text);

	return size > 0 && size <= MAX_NAME && strspn(text, letters) == size && text[0] != '.' &&
	       text[0] != '-';
}

static int refuse(const char *text, const char *why, struct error *err)
{
	return error_set(err, -EINVAL, "--allow-host %.100s: %s (it is HOST or HOST:PORT)", text,
			 why);
}

/* [ADDRESS] or [ADDRESS]:PORT; *host and *port end up as texts of their own in it. What is wrong,
 * or NULL. */
static const char *split_brackets(char *copy, const char **host, const char **port)
{
	char *end = strchr(copy, ']');
	struct ip ip;

	if (!end || (end[1] != ':' && end[1] != '\0'))
		return "a bracket is missing";
	*port = end[1] == ':' ? end + 2 : NULL;
	*end = '\0';
	*host = copy + 1;
	return ip_parse(*host, &ip) && ip.size == 16 ? NULL
						     : "what is in brackets is no IPv6 address";
}

/* The same of ADDRESS, NAME and either with :PORT. */
static const char *split_plain(char *copy, const char **host, const char **port)
{
	char *end = strrchr(copy, ':');
	struct ip ip;

	*host = copy;
	if (ip_parse(copy, &ip))
		return NULL;
	*port = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return ip_parse(copy, &ip) || is_name(copy) ? NULL
						    : "that is neither a name nor an address";
}

int allow_parse(const char *text, struct arena *arena, struct allow *out, struct error *err)
{
	struct allow allow = { 0 };
	char *copy = arena_text(arena, text, strlen(text));
	const char *port = NULL, *wrong;
	uint64_t number = 0;

	wrong = copy[0] == '[' ? split_brackets(copy, &allow.host, &port)
			       : split_plain(copy, &allow.host, &port);
	if (wrong)
		return refuse(text, wrong, err);
	if (port && (!parse_number(port, UINT16_MAX, &number) || number == 0))
		return refuse(text, "a port is from 1 to 65535", err);
	allow.port = (uint16_t)number;
	*out = allow;
	return 0;
}

static bool take_address(const struct sockaddr *address, struct ip *out)
{
	*out = (struct ip){ 0 };
	if (address->sa_family == AF_INET) {
		out->size = 4;
		memcpy(out->bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
		       4);
	} else if (address->sa_family == AF_INET6) {
		out->size = 16;
		memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
		       16);
	}
	return out->size > 0;
}

struct lists {
	struct rules_target *targets;
	struct net_name *names;
	size_t target_count, name_count;
};

static void add_address(struct lists *lists, const struct allow *allow, const struct ip *ip,
			bool has_name)
{
	lists->targets[lists->target_count++] =
	    (struct rules_target){ .ip = *ip, .port = allow->port };
	if (has_name)
		lists->names[lists->name_count++] =
		    (struct net_name){ .ip = *ip, .names = allow->host };
}

static int resolve_one(const struct allow *allow, struct lists *lists, struct error *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	struct ip ip;
	int code, count = 0;

	if (ip_parse(allow->host, &ip)) {
		add_address(lists, allow, &ip, false);
		return 0;
	}
	code = getaddrinfo(allow->host, NULL, &hints, &found);
	if (code != 0)
		return error_set(err, -ENOENT, "--allow-host %.100s: the host does not find it: %s",
				 allow->host, gai_strerror(code));
	for (const struct addrinfo *at = found; at && count < MAX_ADDRESSES; at = at->ai_next)
		if (take_address(at->ai_addr, &ip)) {
			add_address(lists, allow, &ip, true);
			count++;
		}
	freeaddrinfo(found);
	return 0;
}

int allow_resolve(const struct texts *allowed, struct arena *arena, struct rules_target **targets,
		  size_t *target_count, struct net_name **names, size_t *name_count,
		  struct error *err)
{
	struct lists lists = {
		.targets =
		    arena_alloc(arena, allowed->count * MAX_ADDRESSES * sizeof *lists.targets),
		.names = arena_alloc(arena, allowed->count * MAX_ADDRESSES * sizeof *lists.names),
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < allowed->count; i++) {
		struct allow allow;

		r = allow_parse(allowed->list[i], arena, &allow, err);
		if (r == 0)
			r = resolve_one(&allow, &lists, err);
	}
	if (r < 0)
		return r;
	*targets = lists.targets;
	*target_count = lists.target_count;
	*names = lists.names;
	*name_count = lists.name_count;
	return 0;
}

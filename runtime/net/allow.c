#include "runtime/net/allow.h"

#include "runtime/parse.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

enum { MAX_NAME = 253 };

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
	struct ip ip;

	wrong = copy[0] == '[' ? split_brackets(copy, &allow.host, &port)
			       : split_plain(copy, &allow.host, &port);
	if (wrong)
		return refuse(text, wrong, err);
	if (port && (!parse_number(port, UINT16_MAX, &number) || number == 0))
		return refuse(text, "a port is from 1 to 65535", err);
	allow.port = (uint16_t)number;
	allow.is_name = !ip_parse(allow.host, &ip);
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

int allow_look_up(const char *name, struct ip ips[ALLOW_MAX_ADDRESSES], struct error *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int count = 0, code = getaddrinfo(name, NULL, &hints, &found);

	if (code != 0)
		return error_set(err, -ENOENT, "--allow-host %.100s: the host does not find it: %s",
				 name, gai_strerror(code));
	for (const struct addrinfo *at = found; at && count < ALLOW_MAX_ADDRESSES; at = at->ai_next)
		count += take_address(at->ai_addr, &ips[count]);
	freeaddrinfo(found);
	return count;
}

bool allow_add(struct allowed *allowed, size_t index, const struct ip *ip)
{
	const struct allow *allow = &allowed->list[index];

	for (size_t i = 0; i < allowed->target_count; i++)
		if (allowed->targets[i].port == allow->port &&
		    ip_equal(&allowed->targets[i].ip, ip))
			return false;
	if (allowed->target_count == allowed->count * ALLOW_MAX_ADDRESSES)
		return false;
	allowed->targets[allowed->target_count++] =
	    (struct rules_target){ .ip = *ip, .port = allow->port };
	if (allow->is_name)
		allowed->names[allowed->name_count++] =
		    (struct net_name){ .ip = *ip, .names = allow->host };
	return true;
}

static int resolve_one(struct allowed *allowed, size_t index, struct error *err)
{
	struct ip ips[ALLOW_MAX_ADDRESSES];
	int count = 1;

	if (allowed->list[index].is_name)
		count = allow_look_up(allowed->list[index].host, ips, err);
	else
		(void)ip_parse(allowed->list[index].host, &ips[0]);
	for (int i = 0; i < count; i++)
		(void)allow_add(allowed, index, &ips[i]);
	return count < 0 ? count : 0;
}

int allow_resolve(const struct texts *texts, struct arena *arena, struct allowed *out,
		  struct error *err)
{
	const size_t room = texts->count * ALLOW_MAX_ADDRESSES;
	int r = 0;

	*out = (struct allowed){ .count = texts->count };
	out->list = arena_alloc(arena, texts->count * sizeof *out->list);
	out->targets = arena_alloc(arena, room * sizeof *out->targets);
	out->names = arena_alloc(arena, room * sizeof *out->names);
	for (size_t i = 0; r == 0 && i < texts->count; i++) {
		r = allow_parse(texts->list[i], arena, &out->list[i], err);
		if (r == 0)
			r = resolve_one(out, i, err);
	}
	return r;
}

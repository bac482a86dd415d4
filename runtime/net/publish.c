#include "runtime/net/publish.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/parse.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { BACKLOG = 512, TEXT_MAX = 128 };

/* --- what was written --- */

static int refuse(const char *text, const char *why, struct error *err)
{
	return error_set(err, -EINVAL,
			 "--publish %.100s: %s (it is [IP:][HOST]:GUEST[/tcp|/udp], ports also "
			 "FIRST-LAST)",
			 text, why);
}

/* PORT or FIRST-LAST. */
static bool parse_range(const char *text, uint16_t *first, uint16_t *count)
{
	const char *dash = strchr(text, '-');
	char low[8] = "";
	uint64_t from, to;

	if (dash && (size_t)(dash - text) >= sizeof low)
		return false;
	if (dash) {
		memcpy(low, text, (size_t)(dash - text));
		low[dash - text] = '\0';
	}
	if (!parse_number(dash ? low : text, UINT16_MAX, &from) || from == 0)
		return false;
	to = from;
	if (dash && (!parse_number(dash + 1, UINT16_MAX, &to) || to < from))
		return false;
	*first = (uint16_t)from;
	*count = (uint16_t)(to - from + 1);
	return true;
}

static bool parse_protocol(char *text, uint8_t *out)
{
	char *slash = strchr(text, '/');

	*out = IPPROTO_TCP;
	if (!slash)
		return true;
	*slash = '\0';
	if (strcmp(slash + 1, "udp") == 0)
		*out = IPPROTO_UDP;
	return *out == IPPROTO_UDP || strcmp(slash + 1, "tcp") == 0;
}

/* An address, in brackets where it has colons. */
static bool parse_host_ip(char *text, struct publish *out)
{
	static const uint8_t none[16];
	size_t size = strlen(text);

	if (size > 1 && text[0] == '[' && text[size - 1] == ']') {
		text[size - 1] = '\0';
		text++;
	} else if (strchr(text, ':')) {
		return false;
	}
	if (!ip_parse(text, &out->host))
		return false;
	if (memcmp(out->host.bytes, none, out->host.size) ==
	    0) { /* also where only 0.0.0.0 is said */
		out->everywhere = true;
		out->host.size = 0;
	}
	return true;
}

int publish_parse(const char *text, struct publish *out, struct error *err)
{
	struct publish publish = { 0 };
	char copy[TEXT_MAX], *guest, *host;
	uint16_t host_count = 0;

	if (strlen(text) >= sizeof copy)
		return refuse(text, "too long", err);
	memcpy(copy, text, strlen(text) + 1);
	if (!parse_protocol(copy, &publish.protocol))
		return refuse(text, "the protocol is neither tcp nor udp", err);
	guest = strrchr(copy, ':');
	if (guest)
		*guest++ = '\0';
	if (!parse_range(guest ? guest : copy, &publish.guest_first, &publish.count))
		return refuse(text, "the container's port is not from 1 to 65535", err);
	if (publish.count > LEASE_MAX_PORTS)
		return refuse(text, "more than 1024 ports", err);
	host = guest ? strrchr(copy, ':') : NULL;
	if (guest && strchr(copy, '[') && (!host || copy[strlen(copy) - 1] == ']'))
		return refuse(text, "an address is followed by a port, which may be empty", err);
	if (host) {
		*host++ = '\0';
		if (!parse_host_ip(copy, &publish))
			return refuse(text, "that is no address", err);
	} else if (guest) {
		host = copy;
	}
	if (host && *host && !parse_range(host, &publish.host_first, &host_count))
		return refuse(text, "the host's port is not from 1 to 65535", err);
	if (publish.host_first && host_count != publish.count)
		return refuse(text, "the two ranges are not of one length", err);
	*out = publish;
	return 0;
}

/* --- taking ports --- */

static socklen_t make_address(const struct ip *ip, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if (ip->size == 4) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		memcpy(&four->sin_addr, ip->bytes, 4);
		return sizeof *four;
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	memcpy(&six->sin6_addr, ip->bytes, 16);
	return sizeof *six;
}

static int bound_port(int fd, uint16_t *out)
{
	struct sockaddr_in6 address = { 0 }; /* the port is at the same place in one of IPv4 */
	socklen_t size = sizeof address;
	int r = (int)SYS(getsockname, fd, (struct sockaddr *)&address, &size);

	if (r == 0)
		*out = ntohs(address.sin6_port);
	return r;
}

int publish_listen(const struct ip *ip, uint16_t *port, uint8_t protocol)
{
	const int yes = 1;
	const bool stream = protocol == IPPROTO_TCP;
	struct sockaddr_storage address;
	socklen_t size = make_address(ip, *port, &address);
	own_fd fd = (int)SYS(socket, ip->size == 4 ? AF_INET : AF_INET6,
			     (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? fd : 0;

	if (r == 0 && ip->size == 16)
		r = (int)SYS(setsockopt, fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
	if (r == 0 && stream) /* connections of one that is gone do not hold the port */
		r = (int)SYS(setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (r == 0)
		r = (int)SYS(bind, fd, (const struct sockaddr *)&address, size);
	if (r == 0 && stream)
		r = (int)SYS(listen, fd, BACKLOG);
	if (r == 0)
		r = bound_port(fd, port);
	return r < 0 ? r : take_fd(&fd);
}

struct search {
	uint16_t port;
	uint8_t protocol;
	const char *holder;
};

static int look_for_port(void *context, struct lease *lease, bool alive)
{
	struct search *search = context;

	for (size_t i = 0; alive && i < lease->port_count; i++)
		if (lease->ports[i].host_port == search->port &&
		    lease->ports[i].protocol == search->protocol)
			search->holder = lease->name ? lease->name : lease->id;
	return search->holder != NULL;
}

static int refuse_port(const struct ip *ip, uint16_t port, uint8_t protocol, int code,
		       struct arena *arena, struct error *err)
{
	struct search search = { .port = port, .protocol = protocol };
	const char *word = protocol == IPPROTO_UDP ? "UDP" : "TCP";
	char text[IP_TEXT_SIZE];
	struct error inner;

	ip_print(ip, text);
	if (code == -EADDRINUSE)
		(void)lease_each(NULL, false, arena, look_for_port, &search, &inner);
	if (search.holder)
		return error_set(err, code, "%s port %u of %s is in use by container %.64s", word,
				 port, text, search.holder);
	if (code == -EADDRINUSE)
		return error_set(err, code, "%s port %u of %s is in use by another program", word,
				 port, text);
	if (code == -EADDRNOTAVAIL)
		return error_set(err, code, "%s is no address of this host", text);
	return error_set(err, code, "listen on %s port %u of %s: %s", word, port, text,
			 sys_text(code));
}

static const struct ip loopbacks[] = { { 4, { 127, 0, 0, 1 } }, { 16, { [15] = 1 } } };
static const struct ip any[] = { { 4, { 0 } }, { 16, { 0 } } };

/* On each of the addresses the same port; IPv6 may be switched off where nobody named it. */
static int take_one(const struct publish *publish, uint16_t offset, struct arena *arena,
		    struct publish_socket *sockets, size_t *count, struct error *err)
{
	static const struct ip anywhere = { 0 };
	const bool named = publish->host.size > 0;
	const struct ip *ips = named ? &publish->host : publish->everywhere ? any : loopbacks;
	uint16_t port = publish->host_first ? (uint16_t)(publish->host_first + offset) : 0;

	for (size_t i = 0; i < (named ? 1 : 2); i++) {
		struct publish_socket *one = &sockets[*count];
		int fd = publish_listen(&ips[i], &port, publish->protocol);

		if (!named && i == 1 && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL))
			break;
		if (fd < 0)
			return refuse_port(&ips[i], port, publish->protocol, fd, arena, err);
		++*count;
		one->fd = fd;
		one->port = (struct lease_port){
			.host = publish->everywhere ? anywhere : ips[i],
			.host_port = port,
			.guest_port = (uint16_t)(publish->guest_first + offset),
			.protocol = publish->protocol,
		};
	}
	return 0;
}

/* A port the kernel chose on one address may be taken on the other one. */
static int take_any(const struct publish *publish, uint16_t offset, struct arena *arena,
		    struct publish_socket *sockets, size_t *count, struct error *err)
{
	const size_t before = *count;
	int r;

	for (int tries = 0;; tries++) {
		r = take_one(publish, offset, arena, sockets, count, err);
		if (r != -EADDRINUSE || publish->host_first || tries == 32)
			return r;
		while (*count > before)
			close_fd(&sockets[--*count].fd);
	}
}

int publish_take(const struct publish *publish, struct arena *arena, struct publish_socket *sockets,
		 size_t *count, struct error *err)
{
	int r = 0;

	for (uint16_t i = 0; r == 0 && i < publish->count; i++) {
		if (*count + 2 > LEASE_MAX_PORTS)
			return error_set(err, -E2BIG, "more than %d ports are published",
					 LEASE_MAX_PORTS);
		r = take_any(publish, i, arena, sockets, count, err);
	}
	return r;
}

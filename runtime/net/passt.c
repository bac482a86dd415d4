#include "runtime/net/passt.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/host_program.h"
#include "runtime/net/network.h"
#include "runtime/net/publish.h"
#include "runtime/net/resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { MAX_ARGUMENTS = 32 + 2 * LEASE_MAX_PORTS, LOOK_MS = 5, OUTPUT_MAX = 4096, MTU = 65520 };

/* What the guest is told, and passt, too: a network for the two of them. */
static const char guest_address[] = "10.143.0.15", gateway_address[] = "10.143.0.1",
		  resolver_address[] = "10.143.0.2", gateway_mac[] = "02:6b:76:00:00:01",
		  guest_mac[] = "02:6b:76:00:00:02", guest_address6[] = "fd6b:7600::15",
		  gateway_address6[] = "fe80::1";

/* passt does IPv6 for a host that is connected to it. Connecting a datagram socket sends nothing,
 * it asks for a route. */
static bool host_has_v6(void)
{
	const struct sockaddr_in6 somewhere = { .sin6_family = AF_INET6,
						.sin6_port = htons(9),
						.sin6_addr.s6_addr = { 0x20 } };
	own_fd fd = (int)SYS(socket, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 &&
	       SYS(connect, fd, (const struct sockaddr *)&somewhere, sizeof somewhere) == 0;
}

static int find_program(char path[PATH_MAX], struct error *err)
{
	static const char *const places[] = { "/usr/bin/passt", "/usr/local/bin/passt",
					      "/bin/passt" };

	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (SYS(access, places[i], X_OK) == 0) {
			(void)snprintf(path, PATH_MAX, "%s", places[i]);
			return 0;
		}
	return error_set(err, -ENOENT,
			 "the network of a container that is not root's needs the program passt, "
			 "which is not installed: install the package passt, or use --network "
			 "none");
}

struct child {
	bool has_v6;
	pid_t pid;
	int pidfd, errors;
	char pid_file[64]; /* passt writes it when it is ready */
};

/* The last line that says what went wrong. */
static void last_words(int errors, char *out, size_t size)
{
	char text[OUTPUT_MAX], *line, *rest = text;
	long got = SYS(pread, errors, text, sizeof text - 1, 0);

	text[got > 0 ? got : 0] = 0;
	(void)snprintf(out, size, "it ended without a word");
	while ((line = strsep(&rest, "\n")))
		if (*line && strncmp(line, "Failed to send", 14) != 0) /* to a syslog that is not */
			(void)snprintf(out, size, "%.*s", (int)size - 1, line);
}

/* Ready is who has written its number; who has ended is not. */
static int wait_ready(const struct child *child, struct error *err)
{
	char words[120];

	for (;;) {
		struct pollfd ended = { .fd = child->pidfd, .events = POLLIN };
		struct stat st;
		long r = SYS_RETRY(poll, &ended, 1, LOOK_MS);

		if (r < 0)
			return error_set(err, (int)r, "wait for passt: %s", sys_text((int)r));
		if (r > 0)
			break;
		if (SYS(stat, child->pid_file, &st) == 0 && st.st_size > 0)
			return 0;
	}
	(void)SYS_RETRY(waitpid, child->pid, NULL, 0);
	last_words(child->errors, words, sizeof words);
	return error_set(err, -EIO, "passt, which makes the container's connections: %s", words);
}

struct arguments {
	char *list[MAX_ARGUMENTS];
	size_t count;
};

static void add(struct arguments *arguments, const char *text)
{
	arguments->list[arguments->count++] = (char *)(uintptr_t)text;
}

static void add_all(struct arguments *arguments, const struct child *child, const char *program)
{
	const char *const list[] = {
		program,
		"--foreground",
		"--quiet",
		"--fd",
		"3", /* see start */
		"--pid",
		child->pid_file,
		"--address",
		guest_address,
		"--netmask",
		"24",
		"--gateway",
		gateway_address,
		"--mac-addr",
		gateway_mac,
		"--dns-forward",
		resolver_address,
		"--no-dhcp",
		"--no-map-gw", /* the host's loopback is nobody else's */
	};
	const char *const six[] = { "--address",      guest_address6, "--gateway",
				    gateway_address6, "--no-dhcpv6",  "--no-ra" };

	for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
		add(arguments, list[i]);
	for (size_t i = 0; child->has_v6 && i < sizeof six / sizeof six[0]; i++)
		add(arguments, six[i]);
	if (!child->has_v6)
		add(arguments, "--ipv4-only");
}

static void add_port(struct arguments *arguments, const struct lease_port *port,
		     struct arena *arena)
{
	char address[IP_TEXT_SIZE];

	add(arguments, port->protocol == IPPROTO_UDP ? "--udp-ports" : "--tcp-ports");
	add(arguments,
	    arena_print(arena, "%s%s%u:%u", port->host.size ? ip_print(&port->host, address) : "",
			port->host.size ? "/" : "", port->host_port, port->guest_port));
}

/* The ports are taken first, as for a bridge, which finds out who has them and which are free, and
 * then left to passt, to which a port without an address is one of both kinds. */
static int add_ports(struct arguments *arguments, const struct child *child,
		     const struct texts *published, struct arena *arena, struct error *err)
{
	struct publish_socket *sockets = arena_alloc(arena, LEASE_MAX_PORTS * sizeof *sockets);
	size_t count = 0, before = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < published->count; i++) {
		struct publish publish;

		r = publish_parse(published->list[i], &publish, err);
		if (r == 0 && publish.host.size == 16 && !child->has_v6)
			r = error_set(err, -EADDRNOTAVAIL,
				      "--publish %.100s: this host has no route for IPv6, without "
				      "which passt serves IPv4 alone",
				      published->list[i]);
		if (r == 0)
			r = publish_take(&publish, arena, sockets, &count, err);
		for (size_t j = before; r == 0 && j < count; j++) {
			const struct lease_port *port = &sockets[j].port;
			const bool again = !port->host.size && j > before &&
					   port->host_port == sockets[j - 1].port.host_port;

			if (!again && (port->host.size != 16 || child->has_v6))
				add_port(arguments, port, arena);
		}
		before = count;
	}
	for (size_t i = 0; i < count; i++)
		close_fd(&sockets[i].fd);
	return r;
}

static int start(struct arguments *arguments, struct child *child, int socket, struct error *err)
{
	const int descriptors[] = { -1, -1, child->errors, socket };
	int r = host_program_start(arguments->list, descriptors, 4, &child->pid);

	if (r < 0)
		return error_set(err, r, "run %s: %s", arguments->list[0], sys_text(r));
	child->pidfd = (int)SYS(pidfd_open, child->pid, 0U);
	if (child->pidfd < 0)
		return error_set(err, child->pidfd, "watch passt: %s", sys_text(child->pidfd));
	return wait_ready(child, err);
}

static int run(const struct net_request *request, struct arena *arena, int socket, bool has_v6,
	       struct error *err)
{
	struct child child = { .has_v6 = has_v6,
			       .pidfd = -EBADF,
			       .pid_file = "/tmp/katavm-passt-XXXXXX" };
	struct arguments *arguments = arena_alloc(arena, sizeof *arguments);
	char program[PATH_MAX];
	own_fd errors = (int)SYS(memfd_create, "errors", MFD_CLOEXEC);
	own_fd file = -EBADF;
	int r = find_program(program, err);

	if (r < 0)
		return r;
	file = (int)SYS(mkostemp, child.pid_file, O_CLOEXEC);
	if (errors < 0 || file < 0)
		return error_set(err, errors < 0 ? errors : file, "a file for passt: %s",
				 sys_text(errors < 0 ? errors : file));
	child.errors = errors;
	add_all(arguments, &child, program);
	r = add_ports(arguments, &child, &request->ports, arena, err);
	if (r == 0)
		r = start(arguments, &child, socket, err);
	(void)SYS(unlink, child.pid_file);
	close_fd(&child.pidfd);
	return r;
}

/* passt learns the guest's hardware address from its frames. To a guest that only listens, it would
 * send connections in frames for everybody, of which Linux takes none (ip(7): PACKET_HOST), so the
 * first frame is written here: an announcement of the guest's address (RFC 5227 section 1.1), which
 * nobody answers. */
static int introduce(int socket, struct error *err)
{
	struct {
		uint32_t size;
		struct ether_header head;
		struct ether_arp arp;
	} __attribute__((packed))
	frame = { .size = htonl(sizeof frame - sizeof frame.size),
		  .head = { .ether_dhost = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
			    .ether_type = htons(ETHERTYPE_ARP) },
		  .arp = { .ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
				       .ar_pro = htons(ETHERTYPE_IP),
				       .ar_hln = ETH_ALEN,
				       .ar_pln = 4,
				       .ar_op = htons(ARPOP_REQUEST) } } };
	struct ip ip;
	long r;

	(void)ip_parse_mac(guest_mac, frame.head.ether_shost);
	(void)ip_parse(guest_address, &ip);
	memcpy(frame.arp.arp_sha, frame.head.ether_shost, ETH_ALEN);
	memcpy(frame.arp.arp_spa, ip.bytes, sizeof frame.arp.arp_spa);
	memcpy(frame.arp.arp_tpa, ip.bytes, sizeof frame.arp.arp_tpa);
	r = SYS_RETRY(send, socket, &frame, sizeof frame, MSG_NOSIGNAL);
	return r < 0 ? error_set(err, (int)r, "speak to passt: %s", sys_text((int)r)) : 0;
}

static void describe(struct arena *arena, int socket, bool has_v6, struct net *out)
{
	static const struct {
		const char *guest, *gateway;
		uint8_t length;
	} kinds[] = { { guest_address, gateway_address, 24 },
		      { guest_address6, gateway_address6, 64 } };
	struct net_interface *one = &out->interfaces[out->interface_count++];
	const size_t count = has_v6 ? 2 : 1;
	struct resolver host = { 0 };

	*one = (struct net_interface){ .name = "eth0",
				       .mtu = MTU,
				       .stream = true,
				       .queue_count = 1,
				       .tap_fds = { socket },
				       .address_count = count,
				       .route_count = count,
				       .neighbour_count = count };
	one->addresses = arena_alloc(arena, count * sizeof *one->addresses);
	one->routes = arena_alloc(arena, count * sizeof *one->routes);
	one->neighbours = arena_alloc(arena, count * sizeof *one->neighbours);
	(void)ip_parse_mac(guest_mac, one->mac);
	for (size_t i = 0; i < count; i++) {
		(void)ip_parse(kinds[i].guest, &one->addresses[i].ip);
		one->addresses[i].length = kinds[i].length;
		(void)ip_parse(kinds[i].gateway, &one->routes[i].gateway);
		one->neighbours[i].ip = one->routes[i].gateway;
		(void)ip_parse_mac(gateway_mac, one->neighbours[i].mac);
	}
	resolver_read_host(arena, &host);
	texts_add(arena, &out->dns, resolver_address);
	out->dns_search = host.search;
	out->dns_options = host.options;
}

static int check(const struct net_request *request, struct error *err)
{
	if (strcmp(request->network, NETWORK_DEFAULT) != 0)
		return error_set(err, -EPERM,
				 "the network \"%s\" needs root, who can make bridges: run katavm "
				 "as root, or with --network default",
				 request->network);
	if (request->ip.size || request->aliases.count || request->allowed.count)
		return error_set(err, -EPERM,
				 "--ip, --network-alias and --allow-host need root, who can make "
				 "bridges");
	return 0;
}

int passt_open(const struct net_request *request, struct arena *arena, struct net *out,
	       struct error *err)
{
	own_fd ours = -EBADF;
	own_fd theirs = -EBADF;
	const bool has_v6 = host_has_v6();
	int ends[2], r = check(request, err);

	if (r < 0)
		return r;
	r = (int)SYS(socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
	if (r < 0)
		return error_set(err, r, "a socket to passt: %s", sys_text(r));
	ours = ends[0];
	theirs = ends[1];
	r = run(request, arena, theirs, has_v6, err);
	if (r == 0)
		r = introduce(ours, err);
	if (r == 0)
		describe(arena, take_fd(&ours), has_v6, out);
	return r;
}

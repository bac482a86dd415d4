/* The files of networks: /var/lib/katavm/networks/NAME.json, written whole under another name
 * first. */
#include "runtime/net/network.h"

#include "base/netlink.h"
#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/link.h"
#include "runtime/parse.h"
#include "runtime/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

/* Room for one guest beside the bridge; and for as many in IPv6 as in any network of IPv4. */
static const uint8_t most_bits[NETWORK_KINDS] = { 30, 104 };

enum { MAX_NETWORKS = 4096, MIN_MTU = 1280, MAX_MTU = 65521 };

static int open_folder(struct error *err)
{
	char path[PATH_MAX];
	int r = paths_root(NULL, path, err), fd;

	if (r < 0)
		return r;
	if (strlen(path) + sizeof "/networks" > sizeof path)
		return error_set(err, -ENAMETOOLONG, "the path %.60s... is too long", path);
	(void)SYS(mkdir, path, 0755);
	memcpy(path + strlen(path), "/networks", sizeof "/networks");
	(void)SYS(mkdir, path, 0755);
	fd = sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? error_set(err, fd, "open %.150s: %s", path, sys_text(fd)) : fd;
}

int network_check_name(const char *name, struct error *err)
{
	static const char *const words[] = { "none", "host", "bridge", "container", "netns" };
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t size = strlen(name);

	if (size == 0 || size >= NETWORK_NAME_SIZE || strspn(name, letters) != size ||
	    strchr("_.-", name[0]))
		return error_set(err, -EINVAL,
				 "a network's name is of letters, digits, _ . and -, not \"%.80s\"",
				 name);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(name, words[i]) == 0)
			return error_set(err, -EINVAL,
					 "a network cannot be called \"%s\": --network knows the "
					 "word already",
					 name);
	return 0;
}

/* --- reading --- */

static const char *text_of(json_object *object, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(object, key, &value) &&
		       json_object_is_type(value, json_type_string)
		   ? json_object_get_string(value)
		   : NULL;
}

static bool parse_side(json_object *object, enum network_kind kind, struct network *out)
{
	const char *subnet = text_of(object, kind == NETWORK_V4 ? "subnet" : "subnet6");
	const char *gateway = text_of(object, kind == NETWORK_V4 ? "gateway" : "gateway6");
	const uint8_t size = kind == NETWORK_V4 ? 4 : 16;

	if (!subnet && !gateway && kind == NETWORK_V6)
		return true;
	return subnet && gateway && ip_parse_prefix(subnet, &out->subnets[kind]) &&
	       ip_parse(gateway, &out->gateways[kind]) && out->gateways[kind].size == size &&
	       out->subnets[kind].length >= 8 && out->subnets[kind].length <= most_bits[kind] &&
	       ip_within(&out->gateways[kind], &out->subnets[kind]);
}

static bool is_bridge(const char *name)
{
	size_t size = strlen(name);

	return strncmp(name, "kvbr", 4) == 0 && size > 4 && size < IF_NAMESIZE &&
	       strspn(name + 4, "0123456789") == size - 4;
}

static bool parse_object(json_object *object, struct network *out)
{
	const char *name = text_of(object, "name"), *bridge = text_of(object, "bridge");
	struct error err;
	json_object *value;

	if (!json_object_is_type(object, json_type_object) || !name || !bridge ||
	    network_check_name(name, &err) < 0 || !is_bridge(bridge))
		return false;
	(void)snprintf(out->name, sizeof out->name, "%s", name);
	(void)snprintf(out->bridge, sizeof out->bridge, "%s", bridge);
	if (!json_object_object_get_ex(object, "mtu", &value) ||
	    !json_object_is_type(value, json_type_int) || json_object_get_int(value) < MIN_MTU ||
	    json_object_get_int(value) > MAX_MTU)
		return false;
	out->mtu = (uint32_t)json_object_get_int(value);
	out->internal =
	    json_object_object_get_ex(object, "internal", &value) && json_object_get_boolean(value);
	return parse_side(object, NETWORK_V4, out) && parse_side(object, NETWORK_V6, out);
}

int network_parse(const char *text, size_t size, struct network *out)
{
	struct json_tokener *tokener = json_tokener_new_ex(8);
	struct network network = { 0 };
	json_object *object = NULL;
	bool good;

	if (tokener && size <= NETWORK_FILE_MAX)
		object = json_tokener_parse_ex(tokener, text, (int)size);
	good = object && parse_object(object, &network);
	(void)json_object_put(object);
	if (tokener)
		json_tokener_free(tokener);
	if (!good)
		return -EINVAL;
	*out = network;
	return 0;
}

static int read_file(int folder, const char *file, struct network *out)
{
	own_fd fd = sys_open(folder, file, O_RDONLY | O_NOFOLLOW, 0);
	char text[NETWORK_FILE_MAX];
	long size;

	if (fd < 0)
		return fd;
	size = SYS_RETRY(read, fd, text, sizeof text);
	return size < 0 ? (int)size : network_parse(text, (size_t)size, out);
}

static void file_name(const char *name, char out[NETWORK_NAME_SIZE + 8])
{
	(void)snprintf(out, NETWORK_NAME_SIZE + 8, "%.63s.json", name);
}

int network_load(const char *name, struct network *out, struct error *err)
{
	own_fd folder = -1;
	char file[NETWORK_NAME_SIZE + 8];
	int r = network_check_name(name, err);

	if (r < 0)
		return r;
	folder = open_folder(err);
	if (folder < 0)
		return folder;
	file_name(name, file);
	r = read_file(folder, file, out);
	if (r == -ENOENT)
		return error_set(err, r, "there is no network \"%s\": see katavm network ls", name);
	return r < 0 ? error_set(err, r, "read the file of network \"%s\": %s", name, sys_text(r))
		     : 0;
}

static int is_network_file(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return entry->d_name[0] != '.' && size > 5 && size < NETWORK_NAME_SIZE + 5 &&
	       strcmp(entry->d_name + size - 5, ".json") == 0;
}

int network_each(int (*each)(void *context, const struct network *network), void *context,
		 struct error *err)
{
	own_fd folder = open_folder(err);
	struct dirent **list = NULL;
	int count, r = 0;

	if (folder < 0)
		return folder;
	count = (int)SYS(scandirat, folder, ".", &list, is_network_file, alphasort);
	for (int i = 0; i < count; i++) {
		struct network network;

		/* cppcheck-suppress nullPointer ; scandirat(3) has set it */
		if (r == 0 && i < MAX_NETWORKS && read_file(folder, list[i]->d_name, &network) == 0)
			r = each(context, &network);
		free(list[i]);
	}
	free(list);
	return count < 0 ? error_set(err, count, "read the networks: %s", sys_text(count)) : r;
}

/* --- making --- */

/* What new networks must keep away from. */
struct choice {
	struct netlink *netlink;
	const struct ip_prefix *wanted;
	const struct network *in_the_way;
	bool bridges[MAX_NETWORKS]; /* whose numbers are taken */
};

static int look_at(void *context, const struct network *network)
{
	struct choice *choice = context;
	unsigned long number = strtoul(network->bridge + 4, NULL, 10);
	static struct network found;

	if (number < MAX_NETWORKS)
		choice->bridges[number] = true;
	if (choice->wanted)
		for (size_t kind = 0; kind < NETWORK_KINDS; kind++)
			if (network->subnets[kind].ip.size &&
			    ip_overlap(&network->subnets[kind], choice->wanted)) {
				found = *network;
				choice->in_the_way = &found;
			}
	return 0;
}

/* 1: nobody uses it. 0: somebody does. */
static int is_free(struct choice *choice, const struct ip_prefix *subnet, struct error *err)
{
	bool routed;
	int r;

	choice->wanted = subnet;
	choice->in_the_way = NULL;
	r = network_each(look_at, choice, err);
	choice->wanted = NULL; /* it is the caller's */
	if (r < 0 || choice->in_the_way)
		return r;
	r = link_is_routed(choice->netlink, subnet, &routed);
	return r < 0 ? error_set(err, r, "read the host's routes: %s", sys_text(r)) : !routed;
}

/* 10.144.0.0/12 in sixteenths for the default network, the 4096 small ones of 10.160.0.0/12 for
 * others: in a corner of 10.0.0.0/8 where few things are. */
static int choose_v4(struct choice *choice, bool is_default, struct ip_prefix *out,
		     struct error *err)
{
	for (uint32_t i = 0; i < (is_default ? 16 : 4096); i++) {
		struct ip_prefix subnet = { .ip = { .size = 4, .bytes = { 10 } } };
		int r;

		subnet.length = is_default ? 16 : 24;
		subnet.ip.bytes[1] = (uint8_t)(is_default ? 144 + i : 160 + i / 256);
		subnet.ip.bytes[2] = (uint8_t)(is_default ? 0 : i % 256);
		r = is_free(choice, &subnet, err);
		if (r < 0)
			return r;
		if (r == 1) {
			*out = subnet;
			return 0;
		}
	}
	return error_set(err, -EADDRNOTAVAIL,
			 "every network in 10.144.0.0/12 and 10.160.0.0/12 is used on this host: "
			 "give one with --subnet");
}

/* A random unique local one: RFC 4193 section 3.2.2. */
static int choose_v6(struct choice *choice, struct ip_prefix *out, struct error *err)
{
	struct ip_prefix subnet = { .ip = { .size = 16, .bytes = { 0xfd } }, .length = 64 };
	int r;

	do {
		if (SYS_RETRY(getrandom, subnet.ip.bytes + 1, 5, 0) != 5)
			return error_set(err, -EIO, "choose a network: no random numbers");
		r = is_free(choice, &subnet, err);
	} while (r == 0);
	if (r > 0)
		*out = subnet;
	return r < 0 ? r : 0;
}

static int take_wish(struct choice *choice, const struct network_wish *wish, enum network_kind kind,
		     struct ip_prefix *out, struct error *err)
{
	const char *text = wish->subnets[kind];
	struct ip_prefix subnet;
	int r;

	if (!text)
		return kind == NETWORK_V4
			   ? choose_v4(choice, strcmp(wish->name, NETWORK_DEFAULT) == 0, out, err)
			   : choose_v6(choice, out, err);
	if (!ip_parse_prefix(text, &subnet) || subnet.ip.size != (kind == NETWORK_V4 ? 4 : 16) ||
	    subnet.length < 8 || subnet.length > most_bits[kind])
		return error_set(err, -EINVAL, "\"%.80s\" is not a network such as %s", text,
				 kind == NETWORK_V4 ? "10.1.2.0/24" : "fd00:1::/64");
	subnet.ip = ip_at(&subnet, 0);
	r = is_free(choice, &subnet, err);
	if (r < 0)
		return r;
	if (r == 0 && choice->in_the_way)
		return error_set(err, -EADDRINUSE, "%s overlaps with the network \"%s\"", text,
				 choice->in_the_way->name);
	if (r == 0)
		return error_set(err, -EADDRINUSE, "%s overlaps with a route of this host", text);
	*out = subnet;
	return 0;
}

static int take_bridge(const struct choice *choice, struct network *out, struct error *err)
{
	for (unsigned i = strcmp(out->name, NETWORK_DEFAULT) == 0 ? 0 : 1; i < MAX_NETWORKS; i++) {
		(void)snprintf(out->bridge, sizeof out->bridge, "kvbr%u", i);
		if (!choice->bridges[i] && link_index(choice->netlink, out->bridge) == -ENODEV)
			return 0;
	}
	return error_set(err, -ENOSPC, "there are %d networks already", MAX_NETWORKS);
}

static int take_details(const struct network_wish *wish, struct network *out, struct error *err)
{
	uint64_t mtu = NETWORK_MTU;

	if (wish->mtu && (!parse_number(wish->mtu, MAX_MTU, &mtu) || mtu < MIN_MTU))
		return error_set(err, -EINVAL, "an MTU is a number from %d to %d, not \"%.40s\"",
				 MIN_MTU, MAX_MTU, wish->mtu);
	out->mtu = (uint32_t)mtu;
	out->internal = wish->internal;
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++)
		if (out->subnets[kind].ip.size)
			out->gateways[kind] = ip_at(&out->subnets[kind], 1);
	if (wish->gateway && (!ip_parse(wish->gateway, &out->gateways[NETWORK_V4]) ||
			      !ip_within(&out->gateways[NETWORK_V4], &out->subnets[NETWORK_V4])))
		return error_set(err, -EINVAL, "the gateway %.60s is not an address of the network",
				 wish->gateway);
	return 0;
}

static int print_side(char *text, size_t size, const struct network *network,
		      enum network_kind kind)
{
	const char *suffix = kind == NETWORK_V4 ? "" : "6";
	char subnet[IP_TEXT_SIZE], gateway[IP_TEXT_SIZE];

	if (!network->subnets[kind].ip.size)
		return 0;
	return snprintf(text, size, ",\"subnet%s\":\"%s/%u\",\"gateway%s\":\"%s\"", suffix,
			ip_print(&network->subnets[kind].ip, subnet), network->subnets[kind].length,
			suffix, ip_print(&network->gateways[kind], gateway));
}

static int write_file(const struct network *network, struct error *err)
{
	own_fd folder = open_folder(err);
	own_fd fd = -1;
	char text[1024], file[NETWORK_NAME_SIZE + 8];
	int size, r;

	if (folder < 0)
		return folder;
	size = snprintf(text, sizeof text, "{\"name\":\"%s\",\"bridge\":\"%s\",\"mtu\":%u",
			network->name, network->bridge, network->mtu);
	for (int kind = 0; kind < NETWORK_KINDS; kind++)
		size += print_side(text + size, sizeof text - (size_t)size, network,
				   (enum network_kind)kind);
	size += snprintf(text + size, sizeof text - (size_t)size, ",\"internal\":%s}\n",
			 network->internal ? "true" : "false");
	file_name(network->name, file);
	fd = sys_open(folder, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
	r = fd < 0 ? fd : sys_write_all(fd, text, (size_t)size);
	if (r == 0)
		r = (int)SYS_RETRY(fsync, fd);
	if (r == 0)
		r = (int)SYS(renameat, folder, ".new", folder, file);
	return r < 0 ? error_set(err, r, "write the file of network \"%s\": %s", network->name,
				 sys_text(r))
		     : 0;
}

int network_create(const struct network_wish *wish, struct network *out, struct error *err)
{
	static struct choice choice; /* large; one thread */
	struct network network = { 0 };
	own_netlink netlink = NETLINK_CLOSED;
	int r = network_check_name(wish->name, err);

	if (r < 0)
		return r;
	if (network_load(wish->name, &network, err) == 0)
		return error_set(err, -EEXIST, "there is a network \"%s\" already", wish->name);
	r = netlink_open(NETLINK_ROUTE, &netlink);
	if (r < 0)
		return error_set(err, r, "open a netlink socket: %s", sys_text(r));
	choice = (struct choice){ .netlink = &netlink };
	network = (struct network){ 0 };
	(void)snprintf(network.name, sizeof network.name, "%s", wish->name);
	r = take_wish(&choice, wish, NETWORK_V4, &network.subnets[NETWORK_V4], err);
	if (r == 0 && !wish->no_v6)
		r = take_wish(&choice, wish, NETWORK_V6, &network.subnets[NETWORK_V6], err);
	if (r == 0)
		r = take_bridge(&choice, &network, err);
	if (r == 0)
		r = take_details(wish, &network, err);
	if (r == 0)
		r = write_file(&network, err);
	if (r == 0)
		*out = network;
	return r;
}

int network_remove(const char *name, struct error *err)
{
	own_fd folder = open_folder(err);
	char file[NETWORK_NAME_SIZE + 8];
	int r;

	if (folder < 0)
		return folder;
	file_name(name, file);
	r = (int)SYS(unlinkat, folder, file, 0);
	return r < 0 ? error_set(err, r, "remove the network \"%s\": %s", name, sys_text(r)) : 0;
}

void network_mac(const struct ip *ip, uint8_t out[IP_MAC_SIZE])
{
	out[0] = 0x02; /* locally administered */
	out[1] = 0x6b;
	memcpy(out + 2, ip->bytes, 4);
}

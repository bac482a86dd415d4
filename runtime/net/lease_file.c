/* What a lease's file says, in JSON. */
#include "base/own.h"
#include "base/sys.h"
#include "runtime/net/lease.h"

#include <json-c/json.h>
#include <netinet/in.h>
#include <string.h>

/* --- writing --- */

static void put_ip(json_object *object, const char *key, const struct ip *ip)
{
	char text[IP_TEXT_SIZE];

	if (ip->size)
		(void)json_object_object_add(object, key,
					     json_object_new_string(ip_print(ip, text)));
}

static void put_text(json_object *object, const char *key, const char *text)
{
	if (text)
		(void)json_object_object_add(object, key, json_object_new_string(text));
}

static json_object *ports_object(const struct lease *lease)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < lease->port_count; i++) {
		const struct lease_port *port = &lease->ports[i];
		json_object *one = json_object_new_object();

		put_ip(one, "host", &port->host);
		put_text(one, "protocol", port->protocol == IPPROTO_UDP ? "udp" : "tcp");
		(void)json_object_object_add(one, "hostPort", json_object_new_int(port->host_port));
		(void)json_object_object_add(one, "guestPort",
					     json_object_new_int(port->guest_port));
		(void)json_object_array_add(list, one);
	}
	return list;
}

static json_object *lease_object(const struct lease *lease)
{
	json_object *top = json_object_new_object(), *aliases = json_object_new_array();
	char mac[IP_MAC_TEXT_SIZE];

	put_text(top, "id", lease->id);
	put_text(top, "name", lease->name);
	put_text(top, "hostname", lease->hostname);
	put_text(top, "bridge", lease->bridge);
	put_text(top, "tap", lease->tap);
	put_text(top, "mac", ip_print_mac(lease->mac, mac));
	put_ip(top, "address", &lease->addresses[NETWORK_V4]);
	put_ip(top, "address6", &lease->addresses[NETWORK_V6]);
	for (size_t i = 0; i < lease->aliases.count; i++)
		(void)json_object_array_add(aliases,
					    json_object_new_string(lease->aliases.list[i]));
	(void)json_object_object_add(top, "aliases", aliases);
	(void)json_object_object_add(top, "ports", ports_object(lease));
	put_ip(top, "dnsRelay", &lease->dns_relay);
	(void)json_object_object_add(top, "dnsRelayPort",
				     json_object_new_int(lease->dns_relay_port));
	(void)json_object_object_add(top, "ending", json_object_new_boolean(lease->ending));
	(void)json_object_object_add(top, "restricted", json_object_new_boolean(lease->restricted));
	return top;
}

int lease_write(const struct lease *lease, struct error *err)
{
	json_object *top = lease_object(lease);
	const char *text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE);
	int r = strlen(text) > LEASE_FILE_MAX ? -EMSGSIZE : 0;

	/* in this order: who reads just then finds a whole object, and some rest behind it */
	if (r == 0)
		r = sys_pwrite_all(lease->fd, text, strlen(text), 0);
	if (r == 0)
		r = (int)SYS(ftruncate, lease->fd, (off_t)strlen(text));
	(void)json_object_put(top);
	return r < 0 ? error_set(err, r, "write down the address: %s", sys_text(r)) : 0;
}

/* --- reading --- */

static const char *get_text(json_object *object, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(object, key, &value) &&
		       json_object_is_type(value, json_type_string)
		   ? json_object_get_string(value)
		   : NULL;
}

/* Missing is well and leaves no address. */
static bool get_ip(json_object *object, const char *key, uint8_t size, struct ip *out)
{
	const char *text = get_text(object, key);

	return !text || (ip_parse(text, out) && (size == 0 || out->size == size));
}

static bool get_port(json_object *object, const char *key, uint16_t *out)
{
	json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_int) || json_object_get_int(value) < 0 ||
	    json_object_get_int(value) > UINT16_MAX)
		return false;
	*out = (uint16_t)json_object_get_int(value);
	return true;
}

static bool get_name(json_object *object, const char *key, char out[IF_NAMESIZE])
{
	const char *text = get_text(object, key);
	size_t size = text ? strlen(text) : 0;

	if (size == 0 || size >= IF_NAMESIZE || strncmp(text, "kv", 2) != 0 ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") != size)
		return false;
	memcpy(out, text, size + 1);
	return true;
}

/* A word that can stand in a line of /etc/hosts. */
static bool is_word(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";

	return *text && strlen(text) < 254 && strspn(text, letters) == strlen(text);
}

static bool get_word(json_object *object, const char *key, struct arena *arena, const char **out)
{
	const char *text = get_text(object, key);

	if (!text)
		return true;
	if (!is_word(text))
		return false;
	*out = arena_text(arena, text, strlen(text));
	return true;
}

static bool parse_port(json_object *object, struct lease_port *out)
{
	const char *protocol = get_text(object, "protocol");

	if (!protocol || (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0))
		return false;
	out->protocol = strcmp(protocol, "udp") == 0 ? IPPROTO_UDP : IPPROTO_TCP;
	return get_ip(object, "host", 0, &out->host) &&
	       get_port(object, "hostPort", &out->host_port) &&
	       get_port(object, "guestPort", &out->guest_port);
}

static bool get_list(json_object *top, const char *key, json_object **out, size_t *count)
{
	*count = 0;
	if (!json_object_object_get_ex(top, key, out))
		return true;
	if (!json_object_is_type(*out, json_type_array))
		return false;
	*count = json_object_array_length(*out);
	return *count <= LEASE_MAX_PORTS;
}

static bool parse_lists(json_object *top, struct arena *arena, struct lease *out)
{
	json_object *list;
	size_t count;

	if (!get_list(top, "ports", &list, &count))
		return false;
	out->ports = arena_alloc(arena, count * sizeof *out->ports);
	for (size_t i = 0; i < count; i++)
		if (!parse_port(json_object_array_get_idx(list, i), &out->ports[out->port_count++]))
			return false;
	if (!get_list(top, "aliases", &list, &count))
		return false;
	for (size_t i = 0; i < count; i++) {
		json_object *one = json_object_array_get_idx(list, i);
		const char *text = json_object_get_string(one);

		if (!json_object_is_type(one, json_type_string) || !is_word(text))
			return false;
		texts_add(arena, &out->aliases, arena_text(arena, text, strlen(text)));
	}
	return true;
}

static bool get_flag(json_object *object, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(object, key, &value) && json_object_get_boolean(value);
}

static bool parse_object(json_object *top, struct arena *arena, struct lease *out)
{
	const char *mac;

	if (!json_object_is_type(top, json_type_object))
		return false;
	mac = get_text(top, "mac");
	out->ending = get_flag(top, "ending");
	out->restricted = get_flag(top, "restricted");
	return mac && ip_parse_mac(mac, out->mac) && get_word(top, "id", arena, &out->id) &&
	       out->id && strlen(out->id) == 64 && get_word(top, "name", arena, &out->name) &&
	       get_word(top, "hostname", arena, &out->hostname) &&
	       get_name(top, "bridge", out->bridge) && get_name(top, "tap", out->tap) &&
	       get_ip(top, "address", 4, &out->addresses[NETWORK_V4]) &&
	       get_ip(top, "address6", 16, &out->addresses[NETWORK_V6]) &&
	       out->addresses[NETWORK_V4].size && get_ip(top, "dnsRelay", 4, &out->dns_relay) &&
	       get_port(top, "dnsRelayPort", &out->dns_relay_port) && parse_lists(top, arena, out);
}

int lease_parse(const char *text, size_t size, struct arena *arena, struct lease *out)
{
	struct json_tokener *tokener = json_tokener_new_ex(8);
	struct lease lease = { .fd = out->fd, .index = out->index };
	json_object *top = NULL;
	bool good;

	if (tokener && size <= LEASE_FILE_MAX)
		top = json_tokener_parse_ex(tokener, text, (int)size);
	good = top && parse_object(top, arena, &lease);
	(void)json_object_put(top);
	if (tokener)
		json_tokener_free(tokener);
	if (!good)
		return -EINVAL;
	memcpy(lease.network, out->network, sizeof lease.network);
	*out = lease;
	return 0;
}

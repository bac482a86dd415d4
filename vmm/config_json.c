#include "vmm/config_json.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8, MAX_FILE = 1 << 20 };

/* A key: where its value goes and how it is read. */
struct key {
	const char *name;
	int (*read)(const struct key *key, struct json_object *value, void *out, struct error *err);
	size_t offset, size; /* of the field */
	uint64_t least, most;
};

static int wrong(const struct key *key, const char *wanted, struct error *err)
{
	return error_set(err, -EINVAL, "\"%s\" must be %s", key->name, wanted);
}

static int read_text(const struct key *key, struct json_object *value, void *out, struct error *err)
{
	const char *text = json_object_get_string(value);
	size_t length;

	if (!json_object_is_type(value, json_type_string))
		return wrong(key, "a string", err);
	length = (size_t)json_object_get_string_len(value);
	if (length >= key->size)
		return error_set(err, -EINVAL, "\"%s\" is longer than %zu characters", key->name,
				 key->size - 1);
	if (memchr(text, 0, length))
		return wrong(key, "a string without a zero character", err);
	memcpy((char *)out + key->offset, text, length + 1);
	return 0;
}

static int read_number(const struct key *key, struct json_object *value, void *out,
		       struct error *err)
{
	uint64_t number = json_object_get_uint64(value);
	uint32_t narrow = (uint32_t)number;

	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
	    number < key->least || number > key->most)
		return error_set(err, -EINVAL, "\"%s\" must be a number from %llu to %llu",
				 key->name, (unsigned long long)key->least,
				 (unsigned long long)key->most);
	if (key->size == sizeof narrow)
		memcpy((char *)out + key->offset, &narrow, sizeof narrow);
	else
		memcpy((char *)out + key->offset, &number, sizeof number);
	return 0;
}

static int read_bool(const struct key *key, struct json_object *value, void *out, struct error *err)
{
	bool flag = json_object_get_boolean(value);

	if (!json_object_is_type(value, json_type_boolean))
		return wrong(key, "true or false", err);
	memcpy((char *)out + key->offset, &flag, sizeof flag);
	return 0;
}

static int read_console(const struct key *key, struct json_object *value, void *out,
			struct error *err)
{
	const char *text = json_object_get_string(value);
	bool on = text && strcmp(text, "stdout") == 0;

	if (!on && (!text || strcmp(text, "none") != 0))
		return wrong(key, "\"stdout\" or \"none\"", err);
	memcpy((char *)out + key->offset, &on, sizeof on);
	return 0;
}

static const struct key *find_key(const struct key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static int read_object(const struct key *keys, const char *where, struct json_object *object,
		       void *out, struct error *err)
{
	if (!json_object_is_type(object, json_type_object))
		return error_set(err, -EINVAL, "%s must be an object", where);
	json_object_object_foreach(object, name, value)
	{
		const struct key *key = find_key(keys, name);
		int r;

		if (!key)
			return error_set(err, -EINVAL, "%s: unknown key \"%.60s\"", where, name);
		r = key->read(key, value, out, err);
		if (r < 0)
			return r;
	}
	return 0;
}

#define FIELD(type, name) offsetof(struct type, name), sizeof(((struct type *)0)->name)

static const struct key rate_keys[] = {
	{ "bytes", read_number, FIELD(vmm_rate, bytes), 0, UINT64_C(1) << 40 },
	{ "bytes_burst", read_number, FIELD(vmm_rate, bytes_burst), 0, UINT64_C(1) << 40 },
	{ "operations", read_number, FIELD(vmm_rate, operations), 0, UINT64_C(1) << 40 },
	{ "operations_burst", read_number, FIELD(vmm_rate, operations_burst), 0,
	  UINT64_C(1) << 40 },
	{ 0 },
};

static int read_rate(const struct key *key, struct json_object *value, void *out, struct error *err)
{
	return read_object(rate_keys, "a rate", value, (char *)out + key->offset, err);
}

static const struct key disk_keys[] = {
	{ "path", read_text, FIELD(config_disk, path), 0, 0 },
	{ "serial", read_text, FIELD(config_disk, serial), 0, 0 },
	{ "readonly", read_bool, FIELD(config_disk, read_only), 0, 0 },
	{ "direct", read_bool, FIELD(config_disk, direct), 0, 0 },
	{ "rate", read_rate, FIELD(config_disk, rate), 0, 0 },
	{ 0 },
};

static const struct key port_keys[] = {
	{ "port", read_number, FIELD(config_port, port), 1, UINT32_MAX - 1 },
	{ "path", read_text, FIELD(config_port, path), 0, 0 },
	{ 0 },
};

static int read_disks(const struct key *key, struct json_object *value, void *out,
		      struct error *err)
{
	struct config_json *config = out;

	if (!json_object_is_type(value, json_type_array) ||
	    json_object_array_length(value) > VMM_MAX_DISKS)
		return error_set(err, -EINVAL, "\"%s\" must be an array of at most %d disks",
				 key->name, VMM_MAX_DISKS);
	config->disk_count = json_object_array_length(value);
	for (size_t i = 0; i < config->disk_count; i++) {
		int r = read_object(disk_keys, "a disk", json_object_array_get_idx(value, i),
				    &config->disks[i], err);

		if (r < 0)
			return r;
		if (!config->disks[i].path[0])
			return error_set(err, -EINVAL, "a disk needs a \"path\"");
	}
	return 0;
}

static int read_cache(const struct key *key, struct json_object *value, void *out,
		      struct error *err)
{
	static const char *const names[] = { [VMM_CACHE_AUTO] = "auto",
					     [VMM_CACHE_ALWAYS] = "always",
					     [VMM_CACHE_NEVER] = "never" };
	const char *text = json_object_get_string(value);
	enum vmm_cache *cache = (enum vmm_cache *)(void *)((char *)out + key->offset);

	for (size_t i = 0; text && i < sizeof names / sizeof *names; i++) {
		if (strcmp(names[i], text) == 0) {
			*cache = (enum vmm_cache)i;
			return 0;
		}
	}
	return wrong(key, "\"auto\", \"always\" or \"never\"", err);
}

static const struct key share_keys[] = {
	{ "path", read_text, FIELD(config_share, path), 0, 0 },
	{ "tag", read_text, FIELD(config_share, tag), 0, 0 },
	{ "readonly", read_bool, FIELD(config_share, read_only), 0, 0 },
	{ "cache", read_cache, FIELD(config_share, cache), 0, 0 },
	{ "notify", read_bool, FIELD(config_share, notify), 0, 0 },
	{ 0 },
};

static int read_shares(const struct key *key, struct json_object *value, void *out,
		       struct error *err)
{
	struct config_json *config = out;

	if (!json_object_is_type(value, json_type_array) ||
	    json_object_array_length(value) > VMM_MAX_SHARES)
		return error_set(err, -EINVAL, "\"%s\" must be an array of at most %d shares",
				 key->name, VMM_MAX_SHARES);
	config->share_count = json_object_array_length(value);
	for (size_t i = 0; i < config->share_count; i++) {
		int r = read_object(share_keys, "a share", json_object_array_get_idx(value, i),
				    &config->shares[i], err);

		if (r < 0)
			return r;
		if (!config->shares[i].path[0] || !config->shares[i].tag[0])
			return error_set(err, -EINVAL, "a share needs a \"path\" and a \"tag\"");
	}
	return 0;
}

static const struct key net_keys[] = {
	{ "tap", read_text, FIELD(config_net, tap), 0, 0 },
	{ "mac", read_text, FIELD(config_net, mac), 0, 0 },
	{ "mtu", read_number, FIELD(config_net, mtu), 68, 65535 },
	{ "queues", read_number, FIELD(config_net, queues), 1, VMM_MAX_NET_PAIRS },
	{ "vhost", read_bool, FIELD(config_net, vhost), 0, 0 },
	{ "send_rate", read_rate, FIELD(config_net, send_rate), 0, 0 },
	{ "receive_rate", read_rate, FIELD(config_net, receive_rate), 0, 0 },
	{ 0 },
};

/* Six pairs of digits, not all zero and no group's address. */
static bool read_mac(struct config_net *net)
{
	const char *text = net->mac;
	uint8_t any = 0;

	if (strlen(text) != (size_t)VMM_MAC_SIZE * 3 - 1)
		return false;
	for (int i = 0; i < VMM_MAC_SIZE; i++, text += 3) {
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
		    text[2] != (i < VMM_MAC_SIZE - 1 ? ':' : '\0'))
			return false;
		net->address[i] = (uint8_t)strtoul(text, NULL, 16);
		any |= net->address[i];
	}
	return any && !(net->address[0] & 1);
}

static int read_nets(const struct key *key, struct json_object *value, void *out, struct error *err)
{
	struct config_json *config = out;

	if (!json_object_is_type(value, json_type_array) ||
	    json_object_array_length(value) > VMM_MAX_NETS)
		return error_set(err, -EINVAL, "\"%s\" must be an array of at most %d interfaces",
				 key->name, VMM_MAX_NETS);
	config->net_count = json_object_array_length(value);
	for (size_t i = 0; i < config->net_count; i++) {
		struct config_net *net = &config->nets[i];
		int r;

		net->queues = 1;
		r = read_object(net_keys, "a network interface",
				json_object_array_get_idx(value, i), net, err);
		if (r < 0)
			return r;
		if (!net->tap[0])
			return error_set(err, -EINVAL, "a network interface needs a \"tap\"");
		if (!read_mac(net))
			return error_set(err, -EINVAL,
					 "a network interface needs a \"mac\" like "
					 "02:00:00:00:00:01, of one interface");
	}
	return 0;
}

static int read_ports(const struct key *key, struct json_object *value, struct config_port *ports,
		      size_t *count, struct error *err)
{
	if (!json_object_is_type(value, json_type_array) ||
	    json_object_array_length(value) > CONFIG_MAX_PORTS)
		return error_set(err, -EINVAL, "\"%s\" must be an array of at most %d ports",
				 key->name, CONFIG_MAX_PORTS);
	*count = json_object_array_length(value);
	for (size_t i = 0; i < *count; i++) {
		int r = read_object(port_keys, "a port", json_object_array_get_idx(value, i),
				    &ports[i], err);

		if (r < 0)
			return r;
		if (!ports[i].path[0] || ports[i].port == 0)
			return error_set(err, -EINVAL, "a port needs a \"port\" and a \"path\"");
	}
	return 0;
}

static int read_listen(const struct key *key, struct json_object *value, void *out,
		       struct error *err)
{
	struct config_json *config = out;

	return read_ports(key, value, config->listen, &config->listen_count, err);
}

static int read_connect(const struct key *key, struct json_object *value, void *out,
			struct error *err)
{
	struct config_json *config = out;

	return read_ports(key, value, config->connect, &config->connect_count, err);
}

static const struct key vsock_keys[] = {
	{ "listen", read_listen, 0, 0, 0, 0 },
	{ "connect", read_connect, 0, 0, 0, 0 },
	{ 0 },
};

static int read_vsock(const struct key *key, struct json_object *value, void *out,
		      struct error *err)
{
	(void)key;
	return read_object(vsock_keys, "\"vsock\"", value, out, err);
}

static const struct key top_keys[] = {
	{ "kernel", read_text, FIELD(config_json, kernel), 0, 0 },
	{ "initramfs", read_text, FIELD(config_json, initramfs), 0, 0 },
	{ "cmdline", read_text, FIELD(config_json, cmdline), 0, 0 },
	{ "vcpus", read_number, FIELD(config_json, vcpus), 1, VMM_MAX_VCPUS },
	{ "memory_mib", read_number, FIELD(config_json, memory_mib), 32, 4 << 20 },
	{ "huge_pages", read_bool, FIELD(config_json, huge_pages), 0, 0 },
	{ "spare_slots", read_number, FIELD(config_json, spare_slots), 0, VMM_MAX_SPARES },
	{ "control", read_text, FIELD(config_json, control), 0, 0 },
	{ "shared_memory", read_bool, FIELD(config_json, shared_memory), 0, 0 },
	{ "console", read_console, FIELD(config_json, console), 0, 0 },
	{ "disks", read_disks, 0, 0, 0, 0 },
	{ "shares", read_shares, 0, 0, 0, 0 },
	{ "net", read_nets, 0, 0, 0, 0 },
	{ "vsock", read_vsock, 0, 0, 0, 0 },
	{ 0 },
};

static int parse_tree(const char *text, size_t size, struct json_object **out, struct error *err)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
	enum json_tokener_error wrong_at;

	if (!tokener)
		return error_set(err, -ENOMEM, "no memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	*out = json_tokener_parse_ex(tokener, text, (int)size);
	wrong_at = json_tokener_get_error(tokener);
	if (wrong_at != json_tokener_success) {
		(void)error_set(err, -EINVAL, "not JSON: %s at character %zu",
				json_tokener_error_desc(wrong_at),
				json_tokener_get_parse_end(tokener));
		json_tokener_free(tokener);
		return -EINVAL;
	}
	json_tokener_free(tokener);
	return 0;
}

int config_json_parse(const char *text, size_t size, struct config_json *out, struct error *err)
{
	struct json_object *tree = NULL;
	int r;

	if (size > MAX_FILE)
		return error_set(err, -EFBIG, "larger than %d KiB", MAX_FILE >> 10);
	r = parse_tree(text, size, &tree, err);
	if (r < 0)
		return r;
	memset(out, 0, sizeof *out);
	out->vcpus = 1;
	out->memory_mib = 512;
	out->console = true;
	r = read_object(top_keys, "the configuration", tree, out, err);
	(void)json_object_put(tree);
	if (r == 0 && !out->kernel[0])
		r = error_set(err, -EINVAL, "\"kernel\" is missing");
	return r;
}

#include "runtime/spec_mounts.h"
#include "runtime/shares.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef Katavm__Agent__V1__CreateContainerRequest create_request;

/* Messages hold char * though nobody writes through them. */
static char *unconst(const char *text)
{
	return (char *)(uintptr_t)text;
}

struct mount_row {
	const char *destination, *type, *source;
	const char *options; /* separated by commas */
};

static const struct mount_row default_mounts[] = {
	{ "/proc", "proc", "proc", "nosuid,noexec,nodev" },
	{ "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
	{ "/dev/pts", "devpts", "devpts",
	  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro" },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,ro" },
	{ "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
	{ "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777" },
};

enum { DEFAULT_MOUNTS = sizeof default_mounts / sizeof default_mounts[0] };

static void add_options(struct arena *arena, struct texts *out, const char *list)
{
	while (*list) {
		size_t size = strcspn(list, ",");

		if (size > 0)
			texts_add(arena, out, arena_text(arena, list, size));
		list += size + (list[size] == ',');
	}
}

static void add_mount(create_request *request, struct arena *arena, const struct mount_row *row,
		      const char *more_options)
{
	Katavm__Agent__V1__Mount *mount =
	    spec_new(arena, Katavm__Agent__V1__Mount, KATAVM__AGENT__V1__MOUNT__INIT);
	struct texts options = { 0 };

	add_options(arena, &options, row->options);
	add_options(arena, &options, more_options);
	mount->destination = unconst(row->destination);
	mount->type = unconst(row->type);
	mount->source = unconst(row->source);
	mount->options = options.list;
	mount->n_options = options.count;
	request->mounts[request->n_mounts++] = mount;
}

static bool is_replaced(const struct run_config *config, const char *destination)
{
	for (size_t i = 0; i < config->mounts.count; i++)
		if (strcmp(config->mounts.list[i].target, destination) == 0)
			return true;
	return false;
}

static size_t depth(const char *path)
{
	size_t slashes = 0;

	for (; *path; path++)
		slashes += path[0] == '/' && path[1] != '/' && path[1] != '\0';
	return slashes;
}

/* The newest to its place among those from `first` on: the outer before the inner, so that none
 * hides another. */
static void sort_in(create_request *request, size_t first)
{
	for (size_t at = request->n_mounts - 1;
	     at > first &&
	     depth(request->mounts[at]->destination) < depth(request->mounts[at - 1]->destination);
	     at--) {
		Katavm__Agent__V1__Mount *swap = request->mounts[at];

		request->mounts[at] = request->mounts[at - 1];
		request->mounts[at - 1] = swap;
	}
}

/* A volume without a name is a folder of the writable layer, made when the image has none there.
 * Where that layer cannot be written it is in memory, and starts with what the image has there. */
static void add_anonymous(const struct run_config *config, const char *path, struct arena *arena,
			  create_request *request)
{
	static const struct mount_row in_layer = { NULL, "bind", "", "nodev" },
				      in_memory = { NULL, "tmpfs", "tmpfs",
						    "nosuid,nodev,tmpcopyup" };
	struct mount_row row = config->read_only ? in_memory : in_layer;

	row.destination = path;
	add_mount(request, arena, &row, "");
}

static void add_share(const struct shares *shares, size_t index, const struct mount_flag *flag,
		      struct arena *arena, create_request *request)
{
	struct mount_row row = { flag->target, "virtiofs", shares_source(shares, index, arena),
				 "nodev" };
	bool fill = shares && index < shares->count && shares->list[index].fill;

	add_mount(request, arena, &row, flag->read_only ? "ro" : fill ? "tmpcopyup" : "");
}

/* The user's own. */
static void add_users(const struct run_config *config, const struct shares *shares,
		      struct arena *arena, create_request *request)
{
	size_t first = request->n_mounts, share = 0;

	for (size_t i = 0; i < config->mounts.count; i++) {
		const struct mount_flag *flag = &config->mounts.list[i];
		struct mount_row tmpfs = { flag->target, "tmpfs", "tmpfs", "nosuid,nodev,noexec" };

		if (share_is_wanted(flag)) {
			add_share(shares, share++, flag, arena, request);
		} else if (flag->kind == MOUNT_ANONYMOUS) {
			add_anonymous(config, flag->target, arena, request);
		} else {
			const char *more = flag->read_only
					       ? arena_print(arena, "ro,%s", flag->options)
					       : flag->options;

			add_mount(request, arena, &tmpfs, more);
		}
		sort_in(request, first);
	}
}

static void add_volumes(const struct run_config *config, const struct image_config *image,
			struct arena *arena, create_request *request)
{
	for (size_t i = 0; i < image->volumes.count; i++) {
		const char *path = image->volumes.items[i];

		if (path[0] == '/' && !is_replaced(config, path))
			add_anonymous(config, path, arena, request);
	}
}

void spec_mounts_add(const struct run_config *config, const struct image_config *image,
		     const struct shares *shares, struct arena *arena, create_request *request)
{
	size_t most = DEFAULT_MOUNTS + config->mounts.count + image->volumes.count;

	request->mounts = arena_alloc(arena, most * sizeof *request->mounts);
	for (size_t i = 0; i < DEFAULT_MOUNTS; i++) {
		struct mount_row row = default_mounts[i];
		const char *more = "";

		if (is_replaced(config, row.destination))
			continue;
		if (strcmp(row.destination, "/dev/shm") == 0)
			more = arena_print(arena, "size=%lu", (unsigned long)config->shm_bytes);
		if (config->privileged && strncmp(row.destination, "/sys", 4) == 0)
			more = "rw";
		add_mount(request, arena, &row, more);
	}
	add_volumes(config, image, arena, request);
	add_users(config, shares, arena, request);
}

struct rule_row {
	bool allow;
	char type;
	int64_t major, minor;
	const char *access;
};

static const struct rule_row default_rules[] = {
	{ false, 'a', -1, -1, "rwm" }, /* but for: */
	{ true, 'c', -1, -1, "m" },    { true, 'b', -1, -1, "m" },
	{ true, 'c', 1, 3, "rwm" },    /* null */
	{ true, 'c', 1, 5, "rwm" },    /* zero */
	{ true, 'c', 1, 7, "rwm" },    /* full */
	{ true, 'c', 1, 8, "rwm" },    /* random */
	{ true, 'c', 1, 9, "rwm" },    /* urandom */
	{ true, 'c', 5, 0, "rwm" },    /* tty */
	{ true, 'c', 5, 2, "rwm" },    /* ptmx */
	{ true, 'c', 136, -1, "rwm" }, /* pts */
};
static const struct rule_row privileged_rule = { true, 'a', -1, -1, "rwm" };

static void add_rule(create_request *request, struct arena *arena, const struct rule_row *row)
{
	Katavm__Agent__V1__DeviceRule *rule =
	    spec_new(arena, Katavm__Agent__V1__DeviceRule, KATAVM__AGENT__V1__DEVICE_RULE__INIT);

	rule->allow = row->allow;
	rule->type = arena_text(arena, &row->type, 1);
	rule->major = row->major;
	rule->minor = row->minor;
	rule->access = unconst(row->access);
	request->device_rules[request->n_device_rules++] = rule;
}

/* What a privileged container finds in /dev besides the usual. */
static const struct {
	const char *path;
	int64_t major, minor;
} privileged_devices[] = {
	{ "/dev/kmsg", 1, 11 },
	{ "/dev/fuse", 10, 229 },
	{ "/dev/net/tun", 10, 200 },
};

static void add_privileged_devices(struct arena *arena, create_request *request)
{
	const size_t count = sizeof privileged_devices / sizeof privileged_devices[0];

	request->devices = arena_alloc(arena, count * sizeof *request->devices);
	for (size_t i = 0; i < count; i++) {
		Katavm__Agent__V1__Device *device =
		    spec_new(arena, Katavm__Agent__V1__Device, KATAVM__AGENT__V1__DEVICE__INIT);

		device->path = unconst(privileged_devices[i].path);
		device->type = unconst("c");
		device->major = privileged_devices[i].major;
		device->minor = privileged_devices[i].minor;
		device->mode = 0666;
		request->devices[request->n_devices++] = device;
	}
}

void spec_devices_add(const struct run_config *config, struct arena *arena, create_request *request)
{
	const size_t count = sizeof default_rules / sizeof default_rules[0];

	request->device_rules = arena_alloc(arena, count * sizeof *request->device_rules);
	if (config->privileged) {
		add_rule(request, arena, &privileged_rule);
		add_privileged_devices(arena, request);
		return;
	}
	for (size_t i = 0; i < count; i++)
		add_rule(request, arena, &default_rules[i]);
}

static void add_file(create_request *request, struct arena *arena, const char *path,
		     const char *content)
{
	Katavm__Agent__V1__File *file =
	    spec_new(arena, Katavm__Agent__V1__File, KATAVM__AGENT__V1__FILE__INIT);

	file->path = unconst(path);
	file->mode = 0644;
	file->content.data = (uint8_t *)(uintptr_t)content;
	file->content.len = strlen(content);
	request->files[request->n_files++] = file;
}

const char *spec_hosts_file(const struct run_config *config, const struct net *net,
			    struct arena *arena)
{
	const char *text = "127.0.0.1\tlocalhost\n"
			   "::1\tlocalhost ip6-localhost ip6-loopback\n"
			   "fe00::\tip6-localnet\n"
			   "ff00::\tip6-mcastprefix\n"
			   "ff02::1\tip6-allnodes\n"
			   "ff02::2\tip6-allrouters\n";

	for (size_t i = 0; i < config->host_count; i++)
		text = arena_print(arena, "%s%s\t%s\n", text, config->hosts[i].ip,
				   config->hosts[i].name);
	for (size_t i = 0; net && i < net->name_count; i++) {
		char ip[IP_TEXT_SIZE];

		text = arena_print(arena, "%s%s\t%s\n", text, ip_print(&net->names[i].ip, ip),
				   net->names[i].names);
	}
	return text;
}

static const char *put_line(struct arena *arena, const char *text, const char *keyword,
			    const struct texts *words)
{
	if (words->count == 0)
		return text;
	text = arena_print(arena, "%s%s", text, keyword);
	for (size_t i = 0; i < words->count; i++)
		text = arena_print(arena, "%s %s", text, words->list[i]);
	return arena_print(arena, "%s\n", text);
}

/* What the user says, or else what the network says. */
static const struct texts *either(const struct texts *user, const struct texts *network)
{
	return user->count == 0 ? network : user;
}

static const char *resolver_file(const struct run_config *config, const struct net *net,
				 struct arena *arena)
{
	static const struct net no_net;
	const struct net *other = net ? net : &no_net;
	const struct texts *dns = either(&config->dns, &other->dns);
	const char *text =
	    put_line(arena, "", "search", either(&config->dns_search, &other->dns_search));

	for (size_t i = 0; i < dns->count; i++)
		text = arena_print(arena, "%snameserver %s\n", text, dns->list[i]);
	return put_line(arena, text, "options", either(&config->dns_options, &other->dns_options));
}

void spec_files_add(const struct run_config *config, const struct net *net, struct arena *arena,
		    create_request *request)
{
	enum { MOST = 3 };
	const char *resolver = resolver_file(config, net, arena);

	request->files = arena_alloc(arena, MOST * sizeof *request->files);
	add_file(request, arena, "/etc/hostname", arena_print(arena, "%s\n", config->hostname));
	add_file(request, arena, "/etc/hosts", spec_hosts_file(config, net, arena));
	if (*resolver)
		add_file(request, arena, "/etc/resolv.conf", resolver);
}

#include "runtime/net/lease.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/lock.h"
#include "runtime/parse.h"
#include "runtime/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { ENDING_TRIES = 1000 }; /* of 10 ms */

static int make_folders(const char *const *parts, char path[PATH_MAX], struct error *err)
{
	int r = paths_state(path, err);

	if (r < 0)
		return r;
	(void)SYS(mkdir, path, 0700);
	for (; *parts; parts++) {
		size_t size = strlen(path);

		if (snprintf(path + size, PATH_MAX - size, "/%s", *parts) >= (int)(PATH_MAX - size))
			return error_set(err, -ENAMETOOLONG, "the state folder's path is too long");
		r = (int)SYS(mkdir, path, 0700);
		if (r < 0 && r != -EEXIST)
			return error_set(err, r, "make the folder %.150s: %s", path, sys_text(r));
	}
	return 0;
}

int lease_folder(const char *network, char path[PATH_MAX], struct error *err)
{
	const char *const parts[] = { "net", "leases", network, NULL };

	return make_folders(parts, path, err);
}

int lease_lock(struct error *err)
{
	static const char *const parts[] = { "net", NULL };
	char path[PATH_MAX];
	own_fd fd = -1;
	int r = make_folders(parts, path, err);

	if (r < 0)
		return r;
	if (strlen(path) + sizeof "/lock" > sizeof path)
		return error_set(err, -ENAMETOOLONG, "the state folder's path is too long");
	memcpy(path + strlen(path), "/lock", sizeof "/lock");
	fd = sys_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	r = fd < 0 ? fd : lock_wait(fd);
	return r < 0 ? error_set(err, r, "lock %.150s: %s", path, sys_text(r)) : take_fd(&fd);
}

static int open_folder(const char *network, struct error *err)
{
	char path[PATH_MAX];
	int r = lease_folder(network, path, err), fd;

	if (r < 0)
		return r;
	fd = sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? error_set(err, fd, "open %.150s: %s", path, sys_text(fd)) : fd;
}

/* --- taking one --- */

/* Numbers from LEASE_FIRST_INDEX up to (not including) this one are for guests. */
static uint32_t end_of(const struct network *network)
{
	unsigned bits = 32U - network->subnets[NETWORK_V4].length;

	return (UINT32_C(1) << (bits > 24 ? 24 : bits)) - 1; /* the last is the broadcast address */
}

/* 1: it is ours. 0: there is such a file. */
static int try_index(int folder, const struct network *network, uint32_t index, struct lease *out)
{
	struct ip ip = ip_at(&network->subnets[NETWORK_V4], index);
	own_fd fd = -1;
	char name[16];
	int r;

	if (ip_equal(&ip, &network->gateways[NETWORK_V4]))
		return 0;
	(void)snprintf(name, sizeof name, "%u", index);
	fd = sys_open(folder, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd == -EEXIST)
		return 0;
	r = fd < 0 ? fd : lock_take(fd, true) == 0 ? 0 : -EBUSY;
	if (r < 0)
		return r;
	out->fd = take_fd(&fd);
	out->index = index;
	return 1;
}

static int look_for(void *context, struct lease *lease, bool alive)
{
	struct lease *wanted = context;

	(void)alive;
	if (lease->index == wanted->index)
		wanted->name = lease->name ? lease->name : lease->id;
	return 0;
}

static int look_whether_ending(void *context, struct lease *lease, bool alive)
{
	struct lease *wanted = context;

	if (alive && lease->index == wanted->index)
		wanted->ending = lease->ending;
	return 0;
}

/* The address of a container that has just ended is free in a moment. */
static int try_wish(int folder, const struct network *network, uint32_t wish, struct lease *out)
{
	for (int tries = 0; tries < ENDING_TRIES; tries++) {
		const struct timespec moment = { .tv_nsec = 10000000 };
		struct lease wanted = { .index = wish };
		struct arena arena = { 0 };
		struct error err;
		int r = try_index(folder, network, wish, out);

		if (r != 0)
			return r;
		(void)lease_each(network->name, false, &arena, look_whether_ending, &wanted, &err);
		arena_finish(&arena);
		if (!wanted.ending)
			return 0;
		(void)nanosleep(&moment, NULL);
	}
	return 0;
}

static int refuse_wish(const struct network *network, uint32_t wish, struct error *err)
{
	struct ip ip = ip_at(&network->subnets[NETWORK_V4], wish);
	struct lease wanted = { .index = wish };
	struct arena arena = { 0 };
	char text[IP_TEXT_SIZE];
	int r = lease_each(network->name, false, &arena, look_for, &wanted, err);

	if (r == 0)
		r = error_set(err, -EADDRINUSE, "the address %s is in use by %s%.64s",
			      ip_print(&ip, text), wanted.name ? "container " : "the bridge",
			      wanted.name ? wanted.name : "");
	arena_finish(&arena);
	return r;
}

int lease_take(const struct network *network, uint32_t wish, struct lease *out, struct error *err)
{
	own_fd folder = open_folder(network->name, err);
	uint32_t end = end_of(network);
	int r = 0;

	if (folder < 0)
		return folder;
	if (wish) {
		r = try_wish(folder, network, wish, out);
		if (r == 0)
			return refuse_wish(network, wish, err);
	}
	for (uint32_t index = LEASE_FIRST_INDEX; r == 0 && index < end; index++)
		r = try_index(folder, network, index, out);
	if (r < 0)
		return error_set(err, r, "take an address of network \"%s\": %s", network->name,
				 sys_text(r));
	if (r == 0)
		return error_set(err, -EADDRNOTAVAIL, "all addresses of network \"%s\" are in use",
				 network->name);
	(void)snprintf(out->network, sizeof out->network, "%s", network->name);
	(void)snprintf(out->bridge, sizeof out->bridge, "%s", network->bridge);
	for (size_t kind = 0; kind < NETWORK_KINDS; kind++)
		if (network->subnets[kind].ip.size)
			out->addresses[kind] = ip_at(&network->subnets[kind], out->index);
	network_mac(&out->addresses[NETWORK_V4], out->mac);
	return 0;
}

void lease_release(struct lease *lease)
{
	char path[PATH_MAX];
	struct error err;

	if (lease->fd < 0)
		return;
	if (lease_folder(lease->network, path, &err) == 0) {
		size_t size = strlen(path);

		if (snprintf(path + size, sizeof path - size, "/%u", lease->index) <
		    (int)(sizeof path - size))
			(void)SYS(unlink, path); /* while it is locked: nobody else's */
	}
	close_fd(&lease->fd);
}

/* --- looking at them --- */

struct look {
	const char *network;
	bool dead_only;
	struct arena *arena;
	int (*each)(void *context, struct lease *lease, bool alive);
	void *context;
};

static int read_lease(struct lease *lease, int fd, struct arena *arena)
{
	own_mem char *text = malloc(LEASE_FILE_MAX);
	long size;

	if (!text)
		return -ENOMEM;
	size = SYS_RETRY(pread, fd, text, LEASE_FILE_MAX, 0);
	return size < 0 ? (int)size : lease_parse(text, (size_t)size, arena, lease);
}

static int look_at(const struct look *look, int folder, const char *file)
{
	struct lease lease = { .fd = -1 };
	own_fd fd = -1;
	uint64_t index;
	bool alive;

	if (!parse_number(file, UINT32_MAX, &index))
		return 0;
	/* who only looks opens for reading: the end of an open for writing is an event to those who
	 * watch the folder, of whom the caller may be one */
	fd = sys_open(folder, file, (look->dead_only ? O_RDWR : O_RDONLY) | O_NOFOLLOW, 0);
	if (fd < 0) /* gone by now */
		return 0;
	alive = look->dead_only ? lock_take(fd, true) < 0 : lock_is_held(fd);
	if (alive && look->dead_only)
		return 0;
	(void)read_lease(&lease, fd, look->arena);
	(void)snprintf(lease.network, sizeof lease.network, "%s", look->network);
	lease.index = (uint32_t)index;
	lease.fd = look->dead_only ? take_fd(&fd) : -1;
	return look->each(look->context, &lease, alive);
}

static int look_through(struct look *look, struct error *err)
{
	own_fd folder = open_folder(look->network, err);
	const struct dirent *entry;
	own_dir *dir = NULL;
	int r = 0;

	if (folder < 0)
		return folder;
	dir = fdopendir(folder);
	if (!dir)
		return error_set(err, -ENOMEM, "read the leases: out of memory");
	(void)take_fd(&folder);
	while (r == 0 && (entry = readdir(dir)))
		r = look_at(look, dirfd(dir), entry->d_name);
	return r;
}

int lease_each(const char *network, bool dead_only, struct arena *arena,
	       int (*each)(void *context, struct lease *lease, bool alive), void *context,
	       struct error *err)
{
	static const char *const parts[] = { "net", "leases", NULL };
	struct look look = { network, dead_only, arena, each, context };
	const struct dirent *entry;
	own_dir *dir = NULL;
	char path[PATH_MAX];
	int r;

	if (network)
		return look_through(&look, err);
	r = make_folders(parts, path, err);
	if (r < 0)
		return r;
	dir = opendir(path);
	while (r == 0 && dir && (entry = readdir(dir))) {
		look.network = entry->d_name;
		if (entry->d_name[0] != '.' && network_check_name(entry->d_name, err) == 0)
			r = look_through(&look, err);
	}
	return r;
}

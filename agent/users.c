#include "agent/users.h"

#include "agent/paths.h"
#include "base/own.h"
#include "base/sys.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FIELDS = 7 };

struct span {
	const char *at;
	size_t size;
};

struct line {
	size_t count;
	struct span fields[MAX_FIELDS]; /* what is beyond the last one belongs to it */
};

/* The next line with a name; false at the end. */
static bool next_line(const char **text, struct line *line)
{
	while (**text) {
		const char *at = *text;
		const char *end = at + strcspn(at, "\n");

		*text = *end ? end + 1 : end;
		line->count = 0;
		while (line->count < MAX_FIELDS) {
			size_t size = (size_t)(end - at);
			const char *colon = memchr(at, ':', size);

			if (colon && line->count < MAX_FIELDS - 1)
				size = (size_t)(colon - at);
			line->fields[line->count++] = (struct span){ at, size };
			at += size;
			if (at == end)
				break;
			at++;
		}
		if (line->fields[0].size > 0 && line->fields[0].at[0] != '#')
			return true;
	}
	return false;
}

/* Decimal and below 2^32 - 1, which is nobody's id. */
static bool to_id(struct span span, uint32_t *id)
{
	uint64_t value = 0;

	if (span.size == 0 || span.size > 10)
		return false;
	for (size_t i = 0; i < span.size; i++) {
		if (span.at[i] < '0' || span.at[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(span.at[i] - '0');
	}
	if (value >= UINT32_MAX)
		return false;
	*id = (uint32_t)value;
	return true;
}

static bool add_group(struct user *user, gid_t gid)
{
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == gid)
			return true;
	if (user->group_count == USERS_MAX_GROUPS)
		return false;
	user->groups[user->group_count++] = gid;
	return true;
}

/* A line of passwd, by name, or by uid when name is no text. False: none. */
static bool find_passwd(const char *passwd, const struct span *name, const uint32_t *uid,
			struct line *found)
{
	while (next_line(&passwd, found)) {
		uint32_t id;

		if (found->count < 4)
			continue;
		if (name && found->fields[0].size == name->size &&
		    memcmp(found->fields[0].at, name->at, name->size) == 0)
			return true;
		if (uid && to_id(found->fields[2], &id) && id == *uid)
			return true;
	}
	return false;
}

static bool find_group(const char *group, struct span name, gid_t *gid)
{
	struct line line;

	while (next_line(&group, &line))
		if (line.count >= 3 && line.fields[0].size == name.size &&
		    memcmp(line.fields[0].at, name.at, name.size) == 0 &&
		    to_id(line.fields[2], gid))
			return true;
	return to_id(name, gid);
}

static bool lists_member(struct span members, struct span name)
{
	const char *end = members.at + members.size;

	for (const char *at = members.at; at < end; at++) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t size = (size_t)((comma ? comma : end) - at);

		if (size == name.size && memcmp(at, name.at, size) == 0)
			return true;
		at += size;
	}
	return false;
}

static bool add_memberships(const char *group, struct span name, struct user *user)
{
	struct line line;
	gid_t gid;

	while (next_line(&group, &line))
		if (line.count >= 4 && lists_member(line.fields[3], name) &&
		    to_id(line.fields[2], &gid) && !add_group(user, gid))
			return false;
	return true;
}

static void take_home(const struct line *line, struct user *user)
{
	struct span home = line->count > 5 ? line->fields[5] : (struct span){ "", 0 };

	if (home.size > 0 && home.at[0] == '/' && home.size < sizeof user->home) {
		memcpy(user->home, home.at, home.size);
		user->home[home.size] = '\0';
	}
}

/* "user", "user:group", each a name or a number; a name wins over the same digits. */
static int resolve_name(const char *spec, const char *passwd, const char *group, struct user *user,
			struct error *err)
{
	const char *colon = strchr(spec, ':');
	struct span name = { spec, colon ? (size_t)(colon - spec) : strlen(spec) };
	struct line line;
	uint32_t id = 0;
	bool numeric = to_id(name, &id);
	bool known = find_passwd(passwd, &name, NULL, &line) ||
		     (numeric && find_passwd(passwd, NULL, &id, &line));

	if (name.size > 0 && !known && !numeric)
		return error_set(err, -ENOENT,
				 "unable to find user %.*s: no matching entries in passwd file",
				 (int)name.size, name.at);
	if (known) {
		if (!to_id(line.fields[2], &user->uid) || !to_id(line.fields[3], &user->gid))
			return error_set(err, -EINVAL, "user %.*s has a broken line in passwd file",
					 (int)name.size, name.at);
		take_home(&line, user);
	} else {
		user->uid = id;
	}
	if (colon && colon[1]) {
		struct span group_name = { colon + 1, strlen(colon + 1) };

		if (!find_group(group, group_name, &user->gid))
			return error_set(
			    err, -ENOENT,
			    "unable to find group %s: no matching entries in group file",
			    colon + 1);
	} else if (known && !add_memberships(group, line.fields[0], user)) {
		return error_set(err, -E2BIG, "user %.*s is in more than %d groups", (int)name.size,
				 name.at, USERS_MAX_GROUPS);
	}
	return 0;
}

static int add_wanted_groups(const message_user *wanted, const char *group, struct user *user,
			     struct error *err)
{
	bool fits = true;

	for (size_t i = 0; fits && i < wanted->n_additional_gids; i++)
		fits = add_group(user, wanted->additional_gids[i]);
	for (size_t i = 0; fits && i < wanted->n_additional_groups; i++) {
		const char *name = wanted->additional_groups[i];
		gid_t gid;

		if (!find_group(group, (struct span){ name, strlen(name) }, &gid))
			return error_set(
			    err, -ENOENT,
			    "unable to find group %s: no matching entries in group file", name);
		fits = add_group(user, gid);
	}
	if (!fits)
		return error_set(err, -E2BIG, "more than %d additional groups", USERS_MAX_GROUPS);
	return 0;
}

int users_resolve(const message_user *wanted, const char *passwd, const char *group,
		  struct user *out, struct error *err)
{
	struct user *user = out;
	struct line line;
	int r = 0;

	*user = (struct user){ .home = "/" };
	if (!wanted)
		return 0;
	if (wanted->name && *wanted->name) {
		r = resolve_name(wanted->name, passwd, group, user, err);
	} else {
		user->uid = wanted->uid;
		user->gid = wanted->gid;
		if (find_passwd(passwd, NULL, &wanted->uid, &line))
			take_home(&line, user);
	}
	return r < 0 ? r : add_wanted_groups(wanted, group, user, err);
}

int users_find(int root, const message_user *wanted, struct user *out, struct error *err)
{
	own_mem char *passwd = NULL, *group = NULL;
	static char none[] = "";
	size_t size;

	/* A file that is missing or no file at all is an empty one; numbers work without. */
	(void)paths_read(root, "/etc/passwd", USERS_FILE_LIMIT, &passwd, &size);
	(void)paths_read(root, "/etc/group", USERS_FILE_LIMIT, &group, &size);
	return users_resolve(wanted, passwd ? passwd : none, group ? group : none, out, err);
}

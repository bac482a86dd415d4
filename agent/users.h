#pragma once
#include "agent/message.h"
#include "base/error.h"
#include <stddef.h>
#include <sys/types.h>

/* Who a process runs as, found in the container's own /etc/passwd and /etc/group. Those files are
 * an image's: anything may stand in them. */
enum { USERS_MAX_GROUPS = 1024, USERS_HOME_SIZE = 1024, USERS_FILE_LIMIT = 16 << 20 };

struct user {
	uid_t uid;
	gid_t gid;
	size_t group_count;
	gid_t groups[USERS_MAX_GROUPS];
	char home[USERS_HOME_SIZE]; /* "/" when nothing says another */
};

/* passwd and group are the files' texts, "" when the image has none. */
int users_resolve(const message_user *wanted, const char *passwd, const char *group,
		  struct user *out, struct error *err);

/* The same with the files below root, a descriptor. */
int users_find(int root, const message_user *wanted, struct user *out, struct error *err);

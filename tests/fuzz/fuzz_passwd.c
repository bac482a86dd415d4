/* An image's /etc/passwd and /etc/group, and who is looked up in them: three parts, each ended by a
 * NUL byte. */
#include "agent/users.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text up to the next NUL, or to the end. */
static char *take_text(const uint8_t **data, size_t *size)
{
	const uint8_t *end = memchr(*data, 0, *size);
	size_t length = end ? (size_t)(end - *data) : *size;
	char *text = malloc(length + 1);

	if (!text)
		abort();
	memcpy(text, *data, length);
	text[length] = '\0';
	*data += end ? length + 1 : length;
	*size -= end ? length + 1 : length;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = take_text(&data, &size);
	char *passwd = take_text(&data, &size);
	char *group = take_text(&data, &size);
	static struct user user;
	message_user wanted;
	struct error err;

	katavm__agent__v1__user__init(&wanted);
	wanted.name = name;
	wanted.additional_groups = &name;
	wanted.n_additional_groups = size % 2;
	if (users_resolve(&wanted, passwd, group, &user, &err) == 0 &&
	    (user.uid == (uid_t)-1 || user.gid == (gid_t)-1 || user.home[0] != '/' ||
	     user.group_count > USERS_MAX_GROUPS))
		abort();
	free(name);
	free(passwd);
	free(group);
	return 0;
}

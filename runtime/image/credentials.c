#include "runtime/image/credentials.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/document.h"
#include "runtime/image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char hub_key[] = "https://index.docker.io/v1/";

const char *credentials_key(const char *registry)
{
	return strcmp(registry, "docker.io") == 0 ? hub_key : registry;
}

void credentials_finish(struct credentials *credentials)
{
	char *texts[] = { credentials->user, credentials->password, credentials->identity_token };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (texts[i])
			explicit_bzero(texts[i], strlen(texts[i]));
		free(texts[i]);
	}
	*credentials = (struct credentials){ 0 };
}

static int digit(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* NULL when it is not base64 of a text. */
static char *decode(const char *text)
{
	size_t size = strlen(text), out = 0;
	unsigned bits = 0, held = 0;
	char *plain;

	while (size && text[size - 1] == '=')
		size--;
	plain = calloc(1, size + 1);
	for (size_t i = 0; plain && i < size; i++) {
		int value = digit(text[i]);

		if (value < 0) {
			free(plain);
			return NULL;
		}
		bits = bits << 6 | (unsigned)value;
		held += 6;
		if (held < 8)
			continue;
		held -= 8;
		plain[out++] = (char)(bits >> held & 0xff);
	}
	if (plain && strlen(plain) != out) {
		free(plain);
		return NULL;
	}
	return plain;
}

static int set_pair(const struct document *document, const char *auth, struct credentials *out)
{
	char *plain = decode(auth), *colon = plain ? strchr(plain, ':') : NULL;

	if (!colon) {
		free(plain);
		return error_set(document->err, -EINVAL,
				 "%s: an \"auth\" is not base64 of user:password", document->what);
	}
	*colon = '\0';
	out->user = strdup(plain);
	out->password = strdup(colon + 1);
	explicit_bzero(plain, (size_t)(colon - plain));
	explicit_bzero(colon + 1, strlen(colon + 1));
	free(plain);
	return out->user && out->password ? 0 : error_set(document->err, -ENOMEM, "out of memory");
}

static int set_text(const struct document *document, const char *text, char **out)
{
	*out = strdup(text);
	return *out ? 0 : error_set(document->err, -ENOMEM, "out of memory");
}

static int read_entry(const struct document *document, json_object *entry, struct credentials *out)
{
	const char *auth = NULL, *user = NULL, *password = NULL, *token = NULL;
	int r = document_text(document, entry, "auth", &auth);

	if (r == 0)
		r = document_text(document, entry, "username", &user);
	if (r == 0)
		r = document_text(document, entry, "password", &password);
	if (r == 0)
		r = document_text(document, entry, "identitytoken", &token);
	if (r < 0)
		return r;
	if (token && *token)
		return set_text(document, token, &out->identity_token);
	if (auth && *auth)
		return set_pair(document, auth, out);
	if (!user || !password)
		return 0;
	r = set_text(document, user, &out->user);
	return r < 0 ? r : set_text(document, password, &out->password);
}

/* Entries are hosts, or URLs in old files. */
static bool is_for(const char *key, const char *registry)
{
	size_t size;

	if (strcmp(key, credentials_key(registry)) == 0)
		return true;
	if (strncmp(key, "https://", 8) == 0)
		key += 8;
	else if (strncmp(key, "http://", 7) == 0)
		key += 7;
	size = strcspn(key, "/");
	if (strcmp(registry, "docker.io") == 0 && size == 15 &&
	    strncmp(key, "index.docker.io", size) == 0)
		return true;
	return strlen(registry) == size && strncmp(key, registry, size) == 0;
}

static int find_helper(const struct document *document, json_object *root, const char *registry,
		       char **helper)
{
	const char *name = NULL;
	json_object *helpers;
	int r = document_field(document, root, "credHelpers", json_type_object, &helpers);

	if (r == 0 && helpers) /* docker looks under the name that it logs in with */
		r = document_text(document, helpers, credentials_key(registry), &name);
	if (r == 0 && helpers && !name)
		r = document_text(document, helpers, registry, &name);
	if (r == 0 && !name)
		r = document_text(document, root, "credsStore", &name);
	if (r < 0 || !name || !*name)
		return r;
	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
	    strlen(name))
		return error_set(document->err, -EINVAL, "%s: \"%.60s\" cannot be a helper's name",
				 document->what, name);
	return set_text(document, name, helper);
}

int credentials_parse(const char *text, size_t size, const char *registry, struct credentials *out,
		      char **helper, struct error *err)
{
	struct document document = { .what = "docker's config.json", .err = err };
	struct credentials found = { 0 };
	own_json *root = NULL;
	json_object *auths;
	int r = document_parse(&document, text, size, json_type_object, &root);

	*helper = NULL;
	if (r == 0)
		r = find_helper(&document, root, registry, helper);
	if (r == 0)
		r = document_field(&document, root, "auths", json_type_object, &auths);
	if (r == 0 && auths && !*helper) {
		json_object_object_foreach(auths, key, entry)
		{
			if (r < 0 || found.user || found.identity_token || !is_for(key, registry) ||
			    !json_object_is_type(entry, json_type_object))
				continue;
			r = read_entry(&document, entry, &found);
		}
	}
	if (r < 0) {
		credentials_finish(&found);
		free(*helper);
		*helper = NULL;
		return r;
	}
	*out = found;
	return 0;
}

static int open_config(void)
{
	const char *folder = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	own_mem char *path = NULL;

	if (asprintf(&path, "%s%s/config.json",
		     folder && *folder ? folder
		     : home            ? home
				       : "",
		     folder && *folder ? "" : "/.docker") < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return sys_open(AT_FDCWD, path, O_RDONLY, 0);
}

int credentials_find(const char *registry, struct credentials *out, struct error *err)
{
	own_mem char *text = NULL;
	own_mem char *helper = NULL;
	own_fd fd = open_config();
	size_t size;
	int r;

	*out = (struct credentials){ 0 };
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES)
		return 0;
	if (fd < 0)
		return error_set(err, fd, "open docker's config.json: %s", sys_text(fd));
	text = malloc(DOCUMENT_MAX_SIZE);
	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	size = 0;
	for (long n; size < DOCUMENT_MAX_SIZE; size += (size_t)n) {
		n = SYS_RETRY(read, fd, text + size, DOCUMENT_MAX_SIZE - size);
		if (n < 0)
			return error_set(err, (int)n, "read docker's config.json: %s",
					 sys_text((int)n));
		if (n == 0)
			break;
	}
	r = credentials_parse(text, size, registry, out, &helper, err);
	explicit_bzero(text, size);
	if (r < 0 || !helper)
		return r;
	return credentials_ask(helper, registry, out, err);
}

/* Image names in the grammar that Docker's users know (the distribution specification's, with
 * Docker's short forms). The first part is a host if it has a dot or a colon or is "localhost". */
#include "runtime/image/reference.h"

#include "runtime/image/digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOWER   "abcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"
#define LETTERS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

enum { TAG_MAX = 128 };

static const struct {
	const char *prefix;
	enum reference_kind kind;
} local_kinds[] = {
	{ "oci:", REFERENCE_OCI_DIR },
	{ "oci-archive:", REFERENCE_OCI_ARCHIVE },
	{ "docker-archive:", REFERENCE_DOCKER_ARCHIVE },
};

/* Copies size bytes and ends them; the caller has checked that they fit. */
static void set_text(char *to, const char *from, size_t size)
{
	memcpy(to, from, size);
	to[size] = '\0';
}

static int wrong(struct error *err, const char *text, const char *what)
{
	return error_set(err, -EINVAL, "image name \"%.100s\": %s", text, what);
}

/* One part of a path: lower case letters and digits, joined by . _ __ or dashes. */
static bool is_component(const char *text, size_t size)
{
	size_t at = 0;

	while (at < size) {
		size_t word = strspn(text + at, LOWER DIGITS), joint;

		if (word == 0 || at + word > size)
			return false;
		at += word;
		if (at == size)
			return true;
		joint = strspn(text + at, "-");
		if (joint == 0 && text[at] == '.')
			joint = 1;
		if (joint == 0)
			joint = strspn(text + at, "_");
		if (joint == 0 || (text[at] == '_' && joint > 2))
			return false;
		at += joint;
	}
	return false;
}

static int check_repository(const char *text, const char *repository, struct error *err)
{
	const char *at = repository;

	if (!*repository)
		return wrong(err, text, "there is no name");
	if (strpbrk(repository, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		return wrong(err, text, "a name has lower case letters only");
	for (;;) {
		size_t size = strcspn(at, "/");

		if (!is_component(at, size))
			return wrong(err, text,
				     "each part of a name is letters and digits, joined by single "
				     "dots, one or two underscores, or dashes");
		if (at[size] == '\0')
			return 0;
		at += size + 1;
	}
}

static int check_host(const char *text, const char *host, struct error *err)
{
	size_t size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	const char *port;
	char *end;

	if (host[0] == '[') {
		if (host[size - 1] != ']' || size < 4 ||
		    strspn(host + 1, DIGITS "abcdefABCDEF:.") != size - 2)
			return wrong(err, text, "the registry's IPv6 address is malformed");
	} else if (size == 0 || host[0] == '-' || host[0] == '.' ||
		   strspn(host, LETTERS DIGITS "-.") != size) {
		return wrong(err, text, "the registry's host name is malformed");
	}
	if (host[size] == '\0')
		return 0;
	port = host + size + 1;
	if (host[size] != ':' || strspn(port, DIGITS) != strlen(port) || strlen(port) > 5 ||
	    strtoul(port, &end, 10) < 1 || strtoul(port, &end, 10) > 65535)
		return wrong(err, text, "the registry's port is not a number from 1 to 65535");
	return 0;
}

static int check_tag(const char *text, const char *tag, struct error *err)
{
	size_t size = strlen(tag);

	if (size == 0)
		return wrong(err, text, "the tag behind the colon is empty");
	if (size > TAG_MAX)
		return wrong(err, text, "the tag is longer than 128 characters");
	if (strspn(tag, LETTERS DIGITS "_.-") != size || tag[0] == '.' || tag[0] == '-')
		return wrong(err, text,
			     "a tag is letters, digits, \"_\", \".\" and \"-\", and starts with "
			     "neither of the last two");
	return 0;
}

/* Is the part before the first slash a registry? */
static bool starts_with_host(const char *text, size_t size)
{
	if (text[size] != '/')
		return false;
	for (size_t i = 0; i < size; i++)
		if (strchr(".:["
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
			   text[i]))
			return true;
	return size == 9 && strncmp(text, "localhost", 9) == 0;
}

/* rest becomes repository and tag: the colon that counts is behind the last slash. */
static int split_rest(const char *text, char *rest, struct reference *out, struct error *err)
{
	char *slash = strrchr(rest, '/'), *colon = strchr(slash ? slash : rest, ':');
	int r;

	if (colon) {
		*colon = '\0';
		r = check_tag(text, colon + 1, err);
		if (r < 0)
			return r;
		set_text(out->tag, colon + 1, strlen(colon + 1));
	} else if (!out->digest[0]) {
		set_text(out->tag, "latest", 6);
	}
	r = check_repository(text, rest, err);
	if (r < 0)
		return r;
	if (strcmp(out->host, "docker.io") == 0 && !strchr(rest, '/')) {
		if (strlen(rest) + 8 > REFERENCE_NAME_MAX)
			return wrong(err, text, "it is too long");
		(void)snprintf(out->repository, sizeof out->repository, "library/%.231s", rest);
	} else {
		set_text(out->repository, rest, strlen(rest));
	}
	return 0;
}

static int parse_registry(const char *text, struct reference *out, struct error *err)
{
	char rest[REFERENCE_NAME_MAX + 1];
	size_t host = strcspn(text, "/");
	const char *name = text;
	char *at;
	int r;

	if (strstr(text, "://"))
		return wrong(err, text, "write it without the scheme (\"https://\")");
	if (strlen(text) > REFERENCE_NAME_MAX)
		return wrong(err, text, "it is too long");
	set_text(out->host, "docker.io", 9);
	if (starts_with_host(text, host)) {
		set_text(out->host, text, host);
		name = text + host + 1;
		r = check_host(text, out->host, err);
		if (r < 0)
			return r;
	}
	if (strcmp(out->host, "index.docker.io") == 0 ||
	    strcmp(out->host, "registry-1.docker.io") == 0)
		set_text(out->host, "docker.io", 9);
	set_text(rest, name, strlen(name));
	at = strchr(rest, '@');
	if (at) {
		*at = '\0';
		r = digest_parse(at + 1, "image name: what follows \"@\"", out->digest, err);
		if (r < 0)
			return r;
	}
	return split_rest(text, rest, out, err);
}

/* PATH[:NAME]; the first colon ends the path, as other tools read it. */
static int parse_local(const char *text, const char *rest, struct reference *out, struct error *err)
{
	size_t size = strcspn(rest, ":");

	if (size == 0)
		return wrong(err, text, "there is no path behind the colon");
	if (size >= REFERENCE_PATH_SIZE)
		return wrong(err, text, "the path is too long");
	set_text(out->path, rest, size);
	if (rest[size] == '\0')
		return 0;
	rest += size + 1;
	if (!*rest)
		return wrong(err, text, "the tag behind the last colon is empty");
	if (strlen(rest) > REFERENCE_NAME_MAX)
		return wrong(err, text, "the tag is too long");
	set_text(out->tag, rest, strlen(rest));
	return 0;
}

int reference_parse(const char *text, struct reference *out, struct error *err)
{
	struct reference parsed = { 0 };
	size_t ending;
	int r;

	if (!*text)
		return error_set(err, -EINVAL, "the image name is empty");
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return error_set(err, -EINVAL,
					 "the image name contains a control character");
	for (size_t i = 0; i < sizeof local_kinds / sizeof *local_kinds; i++) {
		size_t size = strlen(local_kinds[i].prefix);

		if (strncmp(text, local_kinds[i].prefix, size) != 0)
			continue;
		parsed.kind = local_kinds[i].kind;
		r = parse_local(text, text + size, &parsed, err);
		if (r == 0)
			*out = parsed;
		return r;
	}
	r = parse_registry(text, &parsed, err);
	if (r < 0)
		return r;
	/* a whole name ends with the tag, or with a digest, which it may get later */
	ending = strlen(parsed.tag) > IMAGE_DIGEST_SIZE ? strlen(parsed.tag) : IMAGE_DIGEST_SIZE;
	if (strlen(parsed.host) + strlen(parsed.repository) + ending + 2 > REFERENCE_NAME_MAX)
		return wrong(err, text, "it is too long");
	*out = parsed;
	return 0;
}

void reference_name(const struct reference *reference, char out[REFERENCE_NAME_MAX + 1])
{
	bool has_digest = reference->digest[0] != '\0';

	if (snprintf(out, REFERENCE_NAME_MAX + 1, "%s/%s%s%s", reference->host,
		     reference->repository, has_digest ? "@" : ":",
		     has_digest ? reference->digest : reference->tag) > REFERENCE_NAME_MAX)
		out[0] = 0; /* reference_parse made sure that it fits */
}

const char *reference_familiar(const char *name)
{
	static const char hub[] = "docker.io/", library[] = "library/";

	if (strncmp(name, hub, sizeof hub - 1) != 0)
		return name;
	name += sizeof hub - 1;
	if (strncmp(name, library, sizeof library - 1) == 0 &&
	    !strchr(name + sizeof library - 1, '/'))
		name += sizeof library - 1;
	return name;
}

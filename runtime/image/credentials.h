#pragma once
#include "base/error.h"
#include <stddef.h>

/* What the user gave for a registry with docker login: from $DOCKER_CONFIG/config.json or
 * ~/.docker/config.json, or the credential helper that is named there. */
struct credentials {
	char *user;
	char *password;
	char *identity_token; /* instead of both */
};

/* None is no error: everything stays NULL. */
int credentials_find(const char *registry, struct credentials *out, struct error *err);
void credentials_finish(struct credentials *credentials); /* wipes */

/* The entry of a config.json; *helper (the caller frees it) is set where a program must be asked.
 */
int credentials_parse(const char *text, size_t size, const char *registry, struct credentials *out,
		      char **helper, struct error *err);

/* Asks docker-credential-HELPER. */
int credentials_ask(const char *helper, const char *registry, struct credentials *out,
		    struct error *err);

/* An answer of a helper. */
int credentials_parse_answer(const char *text, size_t size, const char *what,
			     struct credentials *out, struct error *err);

/* The name that docker login keeps a registry under. */
const char *credentials_key(const char *registry);

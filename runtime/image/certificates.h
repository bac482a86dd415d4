#pragma once
#include "runtime/image/lib_curl.h"
#include <stddef.h>

/*
 * Whose signature a registry's certificate may bear, beside the system's authorities, where users
 * of Docker put it:
 *
 *   /etc/docker/certs.d/HOST[:PORT]/NAME.crt             an authority
 *   /etc/docker/certs.d/HOST[:PORT]/NAME.cert, NAME.key  what this side shows, and its key
 *
 * For users other than root the same below $XDG_CONFIG_HOME or ~/.config instead of /etc comes
 * first. SSL_CERT_FILE and SSL_CERT_DIR replace the system's authorities, as for OpenSSL's tools.
 */
struct certificates {
	char *authorities; /* PEM; NULL: none */
	size_t authorities_size;
	char *own, *own_key; /* paths; NULL: none */
};

int certificates_find(const char *host, struct certificates *out, struct error *err);
void certificates_finish(struct certificates *certificates);

/* The text must outlive the transfer. */
void certificates_use(const struct certificates *certificates, const struct lib_curl *curl,
		      CURL *easy);

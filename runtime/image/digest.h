#pragma once
#include "runtime/image/image.h"
#include <stdbool.h>

/* Digests are texts "sha256:<64 hexadecimal digits>", the one algorithm that registries use. */
bool digest_is_valid(const char *text);

/* The part behind "sha256:" of a valid digest. */
const char *digest_hex(const char *digest);

/* Copies text if it is a valid digest; -EINVAL names what it was for. */
int digest_parse(const char *text, const char *what, char out[IMAGE_DIGEST_SIZE],
		 struct error *err);

/* A digest being computed. Loads libcrypto on first use. */
struct digester {
	void *context; /* EVP_MD_CTX */
};

int digester_init(struct digester *digester, struct error *err);
int digester_add(struct digester *digester, const void *data, size_t size);
int digester_end(struct digester *digester, char out[IMAGE_DIGEST_SIZE]);
void digester_finish(struct digester *digester); /* accepts a zeroed one, safe to repeat */

/* Digest of memory, and of a file from offset to its end (size NULL, or how long that was). */
int digest_memory(const void *data, size_t size, char out[IMAGE_DIGEST_SIZE], struct error *err);
int digest_file(int fd, char out[IMAGE_DIGEST_SIZE], uint64_t *size, struct error *err);

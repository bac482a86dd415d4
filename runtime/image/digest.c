#include "runtime/image/digest.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/lib_crypto.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { HEX_DIGITS = 64, CHUNK = 256 * 1024 };

static const char prefix[] = "sha256:";

bool digest_is_valid(const char *text)
{
	if (strncmp(text, prefix, sizeof prefix - 1) != 0)
		return false;
	text += sizeof prefix - 1;
	return strspn(text, "0123456789abcdef") == HEX_DIGITS && text[HEX_DIGITS] == '\0';
}

const char *digest_hex(const char *digest)
{
	return digest + sizeof prefix - 1;
}

int digest_parse(const char *text, const char *what, char out[IMAGE_DIGEST_SIZE], struct error *err)
{
	const char *colon = strchr(text, ':');

	if (digest_is_valid(text)) {
		memcpy(out, text, IMAGE_DIGEST_SIZE);
		return 0;
	}
	if (colon && colon - text == 6 && strncmp(text, "sha512", 6) == 0)
		return error_set(err, -ENOTSUP, "%s is a sha512 digest: only sha256 is supported",
				 what);
	return error_set(err, -EINVAL,
			 "%s \"%.80s\" is not a digest: sha256: and 64 hexadecimal digits", what,
			 text);
}

int digester_init(struct digester *digester, struct error *err)
{
	const struct lib_crypto *crypto = lib_crypto(err);

	digester->context = NULL;
	if (!crypto)
		return -ELIBACC;
	digester->context = crypto->context_new();
	if (!digester->context || crypto->init(digester->context, crypto->sha256(), NULL) != 1) {
		digester_finish(digester);
		return error_set(err, -ENOMEM, "start a digest: out of memory");
	}
	return 0;
}

int digester_add(struct digester *digester, const void *data, size_t size)
{
	return lib_crypto(NULL)->update(digester->context, data, size) == 1 ? 0 : -EIO;
}

int digester_end(struct digester *digester, char out[IMAGE_DIGEST_SIZE])
{
	unsigned char sum[64];
	unsigned size = 0;

	if (lib_crypto(NULL)->final(digester->context, sum, &size) != 1 || size != HEX_DIGITS / 2)
		return -EIO;
	memcpy(out, prefix, sizeof prefix);
	for (size_t i = 0; i < size; i++)
		(void)snprintf(out + sizeof prefix - 1 + 2 * i, 3, "%02x", sum[i]);
	return 0;
}

void digester_finish(struct digester *digester)
{
	if (digester->context)
		lib_crypto(NULL)->context_free(digester->context);
	digester->context = NULL;
}

int digest_memory(const void *data, size_t size, char out[IMAGE_DIGEST_SIZE], struct error *err)
{
	struct digester digester;
	int r = digester_init(&digester, err);

	if (r < 0)
		return r;
	r = digester_add(&digester, data, size);
	if (r == 0)
		r = digester_end(&digester, out);
	digester_finish(&digester);
	return r < 0 ? error_set(err, r, "compute a digest") : 0;
}

int digest_file(int fd, char out[IMAGE_DIGEST_SIZE], uint64_t *size, struct error *err)
{
	own_mem char *chunk = malloc(CHUNK);
	struct digester digester;
	uint64_t at = 0;
	long n = 0;
	int r;

	if (!chunk)
		return error_set(err, -ENOMEM, "compute a digest: out of memory");
	r = digester_init(&digester, err);
	if (r < 0)
		return r;
	while (r == 0 && (n = SYS_RETRY(pread, fd, chunk, CHUNK, (off_t)at)) > 0) {
		r = digester_add(&digester, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	if (r == 0)
		r = n < 0 ? (int)n : digester_end(&digester, out);
	digester_finish(&digester);
	if (r < 0)
		return error_set(err, r, "read a blob: %s", sys_text(r));
	if (size)
		*size = at;
	return 0;
}

#include "runtime/image/lib_crypto.h"

#include "runtime/image/lib_load.h"

#include <stdbool.h>

#define SYMBOL(field, name)                                                                        \
	{                                                                                          \
		name, offsetof(struct lib_crypto, field)                                           \
	}

static const struct lib_symbol symbols[] = {
	SYMBOL(context_new, "EVP_MD_CTX_new"), SYMBOL(context_free, "EVP_MD_CTX_free"),
	SYMBOL(sha256, "EVP_sha256"),          SYMBOL(init, "EVP_DigestInit_ex"),
	SYMBOL(update, "EVP_DigestUpdate"),    SYMBOL(final, "EVP_DigestFinal_ex"),
};

const struct lib_crypto *lib_crypto(struct error *err)
{
	static const char *const names[] = { "libcrypto.so.3", NULL };
	static struct lib_crypto table;
	static bool loaded;

	if (!loaded && lib_load(names, symbols, sizeof symbols / sizeof *symbols, &table, err) < 0)
		return NULL;
	loaded = true;
	return &table;
}

#include "runtime/image/lib_curl.h"

#include "runtime/image/lib_load.h"

#include <errno.h>
#include <stdbool.h>

#define SYMBOL(field, name)                                                                        \
	{                                                                                          \
		name, offsetof(struct lib_curl, field)                                             \
	}

static const struct lib_symbol symbols[] = {
	SYMBOL(global_init, "curl_global_init"),
	SYMBOL(easy_init, "curl_easy_init"),
	SYMBOL(easy_cleanup, "curl_easy_cleanup"),
	SYMBOL(easy_reset, "curl_easy_reset"),
	SYMBOL(easy_setopt, "curl_easy_setopt"),
	SYMBOL(easy_getinfo, "curl_easy_getinfo"),
	SYMBOL(easy_perform, "curl_easy_perform"),
	SYMBOL(easy_strerror, "curl_easy_strerror"),
	SYMBOL(easy_escape, "curl_easy_escape"),
	SYMBOL(free, "curl_free"),
	SYMBOL(multi_init, "curl_multi_init"),
	SYMBOL(multi_cleanup, "curl_multi_cleanup"),
	SYMBOL(multi_add, "curl_multi_add_handle"),
	SYMBOL(multi_remove, "curl_multi_remove_handle"),
	SYMBOL(multi_perform, "curl_multi_perform"),
	SYMBOL(multi_poll, "curl_multi_poll"),
	SYMBOL(multi_info_read, "curl_multi_info_read"),
	SYMBOL(slist_append, "curl_slist_append"),
	SYMBOL(slist_free, "curl_slist_free_all"),
};

const struct lib_curl *lib_curl(struct error *err)
{
	static const char *const names[] = { "libcurl.so.4", "libcurl-gnutls.so.4", NULL };
	static struct lib_curl table;
	static bool loaded;

	if (loaded)
		return &table;
	if (lib_load(names, symbols, sizeof symbols / sizeof *symbols, &table, err) < 0)
		return NULL;
	if (table.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		(void)error_set(err, -ENOMEM, "start libcurl");
		return NULL;
	}
	loaded = true;
	return &table;
}

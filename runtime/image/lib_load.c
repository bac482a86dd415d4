#include "runtime/image/lib_load.h"

#include <dlfcn.h>
#include <errno.h>

int lib_load(const char *const *names, const struct lib_symbol *symbols, size_t count, void *table,
	     struct error *err)
{
	void *library = NULL;

	for (size_t i = 0; names[i] && !library; i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return error_set(err, -ELIBACC,
				 "the library %s is needed for this and is not installed",
				 names[0]);
	for (size_t i = 0; i < count; i++) {
		void *symbol = dlsym(library, symbols[i].name);
		void **slot = (void *)((char *)table + symbols[i].offset);

		if (!symbol)
			return error_set(err, -ELIBBAD, "the library %s has no %s: it is too old",
					 names[0], symbols[i].name);
		*slot = symbol;
	}
	return 0; /* the library stays: its table is used until the process ends */
}

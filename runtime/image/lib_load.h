#pragma once
#include "base/error.h"
#include <stddef.h>

struct lib_symbol {
	const char *name;
	size_t offset; /* of the function pointer in the table */
};

/* Opens the first of the libraries that exists (names end with NULL) and fills table. */
int lib_load(const char *const *names, const struct lib_symbol *symbols, size_t count, void *table,
	     struct error *err);

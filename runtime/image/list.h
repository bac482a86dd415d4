#pragma once
#include "runtime/image/record.h"

/* A stored image by name or id, of whatever platform. name->name is "" when it was found by its id.
 * -ENOENT with a sentence. */
int list_find(const struct store *store, const char *text, struct record_name *name,
	      struct record *record, struct error *err);

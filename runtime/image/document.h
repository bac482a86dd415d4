#pragma once
#include "base/error.h"
#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

/* JSON that strangers wrote. Documents are parsed strictly and their fields are read with the type
 * they must have: a wrong type is an error that names the document and the field. */
enum {
	DOCUMENT_MAX_SIZE = 4 << 20, /* of a manifest, index or configuration */
	DOCUMENT_MAX_DEPTH = 24,
};

#define own_json __attribute__((cleanup(own_json_release))) json_object

static inline void own_json_release(json_object **object)
{
	(void)json_object_put(*object);
}

struct document {
	const char *what; /* for errors: "manifest of debian:12" */
	struct error *err;
};

/* The whole of text must be one object (or array: type is json_type_array). */
int document_parse(const struct document *document, const char *text, size_t size, json_type type,
		   json_object **out);

/* Fields of an object. Absent and null are the same: *out is NULL (0), and 0 is returned. */
int document_field(const struct document *document, json_object *object, const char *key,
		   json_type type, json_object **out);
int document_text(const struct document *document, json_object *object, const char *key,
		  const char **out);
int document_size(const struct document *document, json_object *object, const char *key,
		  uint64_t *out); /* an integer, 0 or more */

/* As document_field and document_text, and the field must be there. */
int document_need(const struct document *document, json_object *object, const char *key,
		  json_type type, json_object **out);
int document_need_text(const struct document *document, json_object *object, const char *key,
		       const char **out);

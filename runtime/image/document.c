#include "runtime/image/document.h"

#include <errno.h>
#include <string.h>

int document_parse(const struct document *document, const char *text, size_t size, json_type type,
		   json_object **out)
{
	json_tokener *tokener;
	json_object *object;
	enum json_tokener_error problem;
	size_t end;

	if (size > DOCUMENT_MAX_SIZE)
		return error_set(document->err, -EFBIG, "%s is larger than 4 MiB", document->what);
	tokener = json_tokener_new_ex(DOCUMENT_MAX_DEPTH);
	if (!tokener)
		return error_set(document->err, -ENOMEM, "%s: out of memory", document->what);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
					    JSON_TOKENER_ALLOW_TRAILING_CHARS);
	object = json_tokener_parse_ex(tokener, text, (int)size);
	problem = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	if (problem == json_tokener_success)
		while (end < size && strchr(" \t\r\n", text[end]) && text[end])
			end++;
	if (problem != json_tokener_success || end != size) {
		(void)json_object_put(object);
		return error_set(
		    document->err, -EINVAL, "%s is not valid JSON (%s at byte %zu)", document->what,
		    problem == json_tokener_success    ? "text behind the end"
		    : problem == json_tokener_continue ? "cut short"
						       : json_tokener_error_desc(problem),
		    end);
	}
	if (!json_object_is_type(object, type)) {
		(void)json_object_put(object);
		return error_set(document->err, -EINVAL, "%s is not a JSON %s", document->what,
				 json_type_to_name(type));
	}
	*out = object;
	return 0;
}

int document_field(const struct document *document, json_object *object, const char *key,
		   json_type type, json_object **out)
{
	json_object *field = NULL;

	if (json_object_object_get_ex(object, key, &field) && field &&
	    !json_object_is_type(field, type))
		return error_set(
		    document->err, -EINVAL, "%s: \"%s\" is of type %s, not %s", document->what, key,
		    json_type_to_name(json_object_get_type(field)), json_type_to_name(type));
	*out = field;
	return 0;
}

int document_text(const struct document *document, json_object *object, const char *key,
		  const char **out)
{
	json_object *field = NULL;
	int r = document_field(document, object, key, json_type_string, &field);

	if (r < 0)
		return r;
	*out = field ? json_object_get_string(field) : NULL;
	if (*out && strlen(*out) != (size_t)json_object_get_string_len(field))
		return error_set(document->err, -EINVAL, "%s: \"%s\" contains a NUL character",
				 document->what, key);
	return 0;
}

int document_size(const struct document *document, json_object *object, const char *key,
		  uint64_t *out)
{
	json_object *field = NULL;
	int r = document_field(document, object, key, json_type_int, &field);

	if (r < 0)
		return r;
	if (field && json_object_get_int64(field) < 0)
		return error_set(document->err, -EINVAL, "%s: \"%s\" is negative", document->what,
				 key);
	*out = field ? (uint64_t)json_object_get_int64(field) : 0;
	return 0;
}

static int missing(const struct document *document, const char *key)
{
	return error_set(document->err, -EINVAL, "%s has no \"%s\"", document->what, key);
}

int document_need(const struct document *document, json_object *object, const char *key,
		  json_type type, json_object **out)
{
	json_object *field = NULL;
	int r = document_field(document, object, key, type, &field);

	if (r < 0)
		return r;
	if (!field)
		return missing(document, key);
	*out = field;
	return 0;
}

int document_need_text(const struct document *document, json_object *object, const char *key,
		       const char **out)
{
	const char *text = NULL;
	int r = document_text(document, object, key, &text);

	if (r < 0)
		return r;
	if (!text)
		return missing(document, key);
	*out = text;
	return 0;
}

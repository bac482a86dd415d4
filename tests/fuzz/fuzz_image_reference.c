#include "base/error.h"
#include "runtime/image/reference.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1);
	struct reference reference, again;
	char name[REFERENCE_NAME_MAX + 1];
	struct error err;

	if (!text)
		return 0;
	memcpy(text, data, size);
	if (reference_parse(text, &reference, &err) == 0 && reference.kind == REFERENCE_REGISTRY) {
		/* a whole name is a name, and means the same */
		reference_name(&reference, name);
		if (!name[0] || reference_parse(name, &again, &err) < 0 ||
		    strcmp(again.repository, reference.repository) != 0)
			abort();
	}
	free(text);
	return 0;
}

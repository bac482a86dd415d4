/* The first byte: a challenge's header, docker's config.json, or a helper's answer. */
#include "runtime/image/challenge.h"
#include "runtime/image/credentials.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1), *helper = NULL;
	struct credentials credentials = { 0 };
	struct challenge challenge;
	struct error err;

	if (!text || size == 0) {
		free(text);
		return 0;
	}
	memcpy(text, data + 1, size - 1);
	if (data[0] == 'h')
		(void)challenge_parse(text, &challenge);
	else if (data[0] == 'a')
		(void)credentials_parse_answer(text, size - 1, "x", &credentials, &err);
	else
		(void)credentials_parse(text, size - 1, "x", &credentials, &helper, &err);
	credentials_finish(&credentials);
	free(helper);
	free(text);
	return 0;
}

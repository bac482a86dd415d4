/* The input is an env-file. */
#include "runtime/environment.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct texts env = { 0 };
	struct error err;

	(void)environment_apply_file(&arena, &env, "input", (const char *)data, size, &err);
	for (size_t i = 0; i < env.count; i++)
		if (env.list[i][0] == '=' || env.list[i][0] == '\0')
			__builtin_trap(); /* an entry without a name */
	arena_finish(&arena);
	return 0;
}

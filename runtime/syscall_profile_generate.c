/* Runs while katavm is built: prints the program for containers without special capabilities as
 * the bytes of a C array. */
#include "runtime/syscall_profile.h"

#include "base/own.h"
#include "base/sys.h"

#include <stdio.h>

int main(void)
{
	own_mem void *program = NULL;
	size_t size = 0;
	int result = syscall_profile_compile(0, &program, &size);
	const unsigned char *bytes;

	if (result < 0) {
		(void)fprintf(stderr, "compile the seccomp profile: %s\n", sys_text(result));
		return 1;
	}
	bytes = program;
	for (size_t i = 0; i < size; i++)
		(void)printf("%u,%s", bytes[i], i % 24 == 23 ? "\n" : "");
	return 0;
}

#include "runtime/syscall_filter.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/syscall_profile.h"

#include <stdalign.h>

static const alignas(8) uint8_t usual_program[] = {
#include "syscall_filter.inc"
};

int syscall_filter_select(uint64_t capabilities, struct arena *arena, struct syscall_filter *out,
			  struct error *err)
{
	own_mem void *program = NULL;
	size_t size = 0;
	int result;

	if ((capabilities & syscall_profile_capabilities) == 0) {
		*out = (struct syscall_filter){ usual_program, sizeof usual_program };
		return 0;
	}
	result = syscall_profile_compile(capabilities, &program, &size);
	if (result < 0)
		return error_set(err, result, "compile the system call filter: %s",
				 sys_text(result));
	*out = (struct syscall_filter){ arena_text(arena, program, size), size };
	return 0;
}

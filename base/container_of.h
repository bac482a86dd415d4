#pragma once
#include <stddef.h>

/* The struct whose `member` is at `pointer`: how a callback that is given the part finds its owner.
 */
#define container_of(pointer, type, member)                                                        \
	__extension__({                                                                            \
		_Static_assert(                                                                    \
		    __builtin_types_compatible_p(__typeof__(*(pointer)),                           \
						 __typeof__(((type *)(void *)(pointer))->member)), \
		    "not a member of that type");                                                  \
		(type *)(void *)((char *)(pointer)-offsetof(type, member));                        \
	})

#pragma once
#include <stdbool.h>

/* Locks of an open file (F_OFD_SETLK): given back when its last descriptor is closed, by whatever
 * death, and unlike those of flock(2) they can be looked at without being taken. */

/* 0, -EWOULDBLOCK while somebody holds one that excludes it. Exclusive wants a file open for
 * writing. */
int lock_take(int fd, bool exclusive);

/* An exclusive one, waited for. */
int lock_wait(int fd);

/* Does another open file hold any lock? Also true when that cannot be found out. */
bool lock_is_held(int fd);

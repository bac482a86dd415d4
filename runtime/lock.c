#include "runtime/lock.h"

#include "base/sys.h"

#include <fcntl.h>
#include <unistd.h>

int lock_take(int fd, bool exclusive)
{
	struct flock flock = { .l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };
	int result = (int)SYS_RETRY(fcntl, fd, F_OFD_SETLK, &flock);

	return result == -EACCES ? -EWOULDBLOCK : result;
}

int lock_wait(int fd)
{
	struct flock flock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return (int)SYS_RETRY(fcntl, fd, F_OFD_SETLKW, &flock);
}

bool lock_is_held(int fd)
{
	struct flock flock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return SYS_RETRY(fcntl, fd, F_OFD_GETLK, &flock) < 0 || flock.l_type != F_UNLCK;
}

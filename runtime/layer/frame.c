#include "runtime/layer/frame.h"

#include "base/sys.h"

#include <errno.h>
#include <sys/socket.h>

int frame_send(int fd, const struct frame *frame, size_t size)
{
	size_t head = offsetof(struct frame, data);
	long n = SYS_RETRY(send, fd, frame, head + size, MSG_NOSIGNAL);

	if (n == -ECONNRESET)
		return -EPIPE;
	return n < 0 ? (int)n : 0; /* packets are sent whole */
}

int frame_receive(int fd, struct frame *frame, size_t *size)
{
	size_t head = offsetof(struct frame, data);
	long n = SYS_RETRY(recv, fd, frame, sizeof *frame, MSG_TRUNC);

	/* told once, when the other side ends with frames unread; its last words come after it */
	if (n == -ECONNRESET)
		n = SYS_RETRY(recv, fd, frame, sizeof *frame, MSG_TRUNC);
	if (n <= 0)
		return (int)n;
	if ((size_t)n < head || (size_t)n > sizeof *frame)
		return -EPROTO;
	*size = (size_t)n - head;
	return 1;
}

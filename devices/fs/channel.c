#include "devices/fs/channel.h"
#include "base/check.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/fs/fs.h"

#include <string.h>
#include <sys/socket.h>

union fd_buffer {
	struct cmsghdr header; /* for its alignment */
	uint8_t bytes[CMSG_SPACE(sizeof(int) * FS_MESSAGE_MAX_FDS)];
};

int fs_message_send(int socket, const struct fs_message *message, const int *fds, size_t count)
{
	union fd_buffer control = { .bytes = { 0 } };
	struct iovec bytes = { .iov_base = (void *)(uintptr_t)message, .iov_len = sizeof *message };
	struct msghdr packet = { .msg_iov = &bytes, .msg_iovlen = 1 };
	long r;

	if (count > 0) {
		struct cmsghdr *header;

		packet.msg_control = control.bytes;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		header = CMSG_FIRSTHDR(&packet);
		CHECK(header);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
	}
	r = SYS_RETRY(sendmsg, socket, &packet, MSG_NOSIGNAL);
	return r < 0 ? (int)r : 0;
}

static size_t take_fds(struct msghdr *packet, int fds[FS_MESSAGE_MAX_FDS])
{
	size_t count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(packet); header;
	     header = CMSG_NXTHDR(packet, header)) {
		size_t size = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + count, CMSG_DATA(header), size); /* the buffer bounds the sum */
		count += size / sizeof(int);
	}
	return count;
}

static bool memory_is_valid(const struct fs_message *message)
{
	uint64_t size = message->body.memory.size;

	if (message->body.memory.count > GMEM_MAX_REGIONS || size == 0 || size > INT64_MAX)
		return false;
	for (uint32_t i = 0; i < message->body.memory.count; i++)
		if (message->body.memory.ranges[i].size > size ||
		    message->body.memory.ranges[i].offset >
			size - message->body.memory.ranges[i].size)
			return false;
	return true;
}

static bool is_valid(const struct fs_message *message, size_t fd_count)
{
	if (message->share >= FS_MAX_SHARES)
		return false;
	switch ((enum fs_message_kind)message->kind) {
	case FS_MESSAGE_SHARE:
		return fd_count == 1 && message->body.share.read_only <= 1 &&
		       message->body.share.cache <= FS_CACHE_NEVER &&
		       memchr(message->body.share.file_name, 0, FS_FILE_NAME_SIZE);
	case FS_MESSAGE_MEMORY:
		return fd_count == 1 && memory_is_valid(message);
	case FS_MESSAGE_START:
		return message->body.start.queue_count <= FS_MAX_QUEUES &&
		       fd_count == message->body.start.queue_count + 1U;
	case FS_MESSAGE_STOP:
	case FS_MESSAGE_STOPPED:
	case FS_MESSAGE_BROKEN:
		return fd_count == 0;
	case FS_MESSAGE_KINDS:
		break;
	}
	return false;
}

int fs_message_receive(int socket, bool wait, struct fs_message *out, int fds[FS_MESSAGE_MAX_FDS],
		       size_t *count)
{
	union fd_buffer control;
	struct fs_message buffer;
	struct iovec bytes = { .iov_base = &buffer, .iov_len = sizeof buffer };
	struct msghdr packet = { .msg_iov = &bytes,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof control.bytes };
	long n = SYS_RETRY(recvmsg, socket, &packet, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	size_t there;

	if (n == 0 || n == -ECONNRESET)
		return 0;
	if (n < 0)
		return (int)n;
	there = take_fds(&packet, fds);
	if (n != sizeof buffer || (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    !is_valid(&buffer, there)) {
		for (size_t i = 0; i < there; i++)
			close_fd(&fds[i]);
		return -EPROTO;
	}
	*out = buffer;
	*count = there;
	return 1;
}

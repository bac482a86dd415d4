#include "devices/fs/channel.h"
#include "base/own.h"
#include "base/packet.h"
#include "base/sys.h"
#include "devices/fs/fs.h"

#include <string.h>

int fs_message_send(int socket, const struct fs_message *message, const int *fds, size_t count)
{
	return packet_send(socket, message, sizeof *message, fds, count);
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
		       message->body.share.notify <= 1 &&
		       message->body.share.cache <= FS_CACHE_NEVER &&
		       memchr(message->body.share.file_name, 0, FS_FILE_NAME_SIZE);
	case FS_MESSAGE_MEMORY:
		return fd_count == 2 && memory_is_valid(message);
	case FS_MESSAGE_START:
		return message->body.start.queue_count <= FS_MAX_QUEUES &&
		       fd_count == message->body.start.queue_count + 1U;
	case FS_MESSAGE_MORE:
		return fd_count == 1 && message->body.more.limit <= INT64_MAX &&
		       message->body.more.size > 0 &&
		       message->body.more.size <= message->body.more.limit;
	case FS_MESSAGE_STOP:
	case FS_MESSAGE_STOPPED:
	case FS_MESSAGE_GROWN:
	case FS_MESSAGE_BROKEN:
		return fd_count == 0;
	case FS_MESSAGE_KINDS:
		break;
	}
	return false;
}

int fs_message_receive(int socket, bool wait, struct fs_message *out, int fds[PACKET_MAX_FDS],
		       size_t *count)
{
	struct fs_message buffer;
	long n = packet_receive(socket, wait, &buffer, sizeof buffer, fds, count);

	if (n <= 0)
		return (int)n;
	if (n != sizeof buffer || !is_valid(&buffer, *count)) {
		for (size_t i = 0; i < *count; i++)
			close_fd(&fds[i]);
		return -EPROTO;
	}
	*out = buffer;
	return 1;
}

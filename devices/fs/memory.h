#pragma once
#include "devices/fs/channel.h"

/* The guest's memory as the server of its shares has it. */
struct fs_memory {
	struct gmem gmem;
	bool is_there, has_more;
	uint64_t first_size, size; /* bytes: at the beginning, and with what has come since */
};

/* FS_MESSAGE_MEMORY and FS_MESSAGE_MORE; fd is mapped and stays the caller's. -EPROTO: more before
 * any. */
int fs_memory_take(struct fs_memory *memory, const struct fs_message *message, int fd);
int fs_memory_take_more(struct fs_memory *memory, const struct fs_message *message, int fd);

/* How many files a guest with so much memory may know at a time. */
uint32_t fs_memory_nodes(const struct fs_memory *memory);

#include "devices/fs/memory.h"
#include "base/sys.h"

#include <sys/mman.h>

enum { NODE_BYTES = 1024, FEWEST_NODES = 65536 };

int fs_memory_take(struct fs_memory *memory, const struct fs_message *message, int fd)
{
	void *at;
	int r = sys_mmap(NULL, message->body.memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0,
			 &at);

	if (r < 0)
		return r;
	(void)madvise(at, message->body.memory.size, MADV_DONTDUMP);
	for (uint32_t i = 0; r == 0 && i < message->body.memory.count; i++)
		r = gmem_add(&memory->gmem, (gpa_t){ message->body.memory.ranges[i].start },
			     (uint8_t *)at + message->body.memory.ranges[i].offset,
			     message->body.memory.ranges[i].size);
	memory->is_there = true;
	memory->first_size = memory->size = message->body.memory.size;
	return r;
}

/* Mapped whole the first time, so that its addresses go on as it grows; what is not the guest's yet
 * no address of the guest's leads to. */
int fs_memory_take_more(struct fs_memory *memory, const struct fs_message *message, int fd)
{
	uint64_t limit = message->body.more.limit, size = message->body.more.size;
	gpa_t start = { message->body.more.start };
	void *at;
	int r;

	if (!memory->is_there)
		return -EPROTO;
	if (memory->has_more) {
		r = gmem_grow(&memory->gmem, start, size);
	} else {
		r = sys_mmap(NULL, limit, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0,
			     &at);
		if (r < 0)
			return r;
		(void)madvise(at, limit, MADV_DONTDUMP);
		r = gmem_add(&memory->gmem, start, at, size);
	}
	if (r < 0)
		return r;
	memory->has_more = true;
	memory->size = memory->first_size + size;
	return 0;
}

/* They are bounded by what of the guest's memory each takes: 1 KiB is less than any inode. */
uint32_t fs_memory_nodes(const struct fs_memory *memory)
{
	uint64_t nodes = memory->size / NODE_BYTES;

	if (nodes < FEWEST_NODES)
		return FEWEST_NODES;
	return nodes > INT32_MAX ? INT32_MAX : (uint32_t)nodes;
}

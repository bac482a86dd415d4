/* The input is guest memory: rings, descriptors and all; its first byte chooses event index. */
#include "devices/virtqueue.h"
#include <stdalign.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static alignas(4096) uint8_t ram[4096];
	const struct virtqueue_layout layout = { .avail = { 256 }, .used = { 512 }, .size = 16 };
	struct gmem mem = { 0 };
	struct virtqueue queue;
	struct chain chain;
	struct iovec out[4];
	size_t covered;
	uint8_t sink[64];

	if (size == 0)
		return 0;
	memset(ram, 0, sizeof ram);
	memcpy(ram, data + 1, size - 1 < sizeof ram ? size - 1 : sizeof ram);
	if (gmem_add(&mem, (gpa_t){ 0 }, ram, sizeof ram) < 0 ||
	    virtqueue_open(&queue, &mem, &layout, data[0] & 1) < 0)
		return 0;
	for (int i = 0; i < 32 && virtqueue_pop(&queue, &chain) == 1; i++) {
		if (i == 3) {
			virtqueue_unpop(&queue, &chain);
			continue;
		}
		(void)chain_peek_readable(&chain, 100, out, 4, &covered);
		while (chain_read(&chain, sink, sizeof sink) == sizeof sink)
			;
		while (chain_write(&chain, sink, sizeof sink) == sizeof sink)
			;
		virtqueue_push(&queue, &chain);
		if (i % 4 == 0)
			(void)virtqueue_publish(&queue);
		virtqueue_disable_kicks(&queue);
		(void)virtqueue_enable_kicks(&queue);
	}
	return 0;
}

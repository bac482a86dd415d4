#include "runtime/arena.h"

#include "base/check.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 16 << 10 };

struct arena_block {
	struct arena_block *before;
	size_t used, size;
	alignas(max_align_t) uint8_t bytes[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *block = arena->last;
	void *at;

	CHECK(size < SIZE_MAX / 2);
	size = (size + align - 1) / align * align;
	if (!block || block->size - block->used < size) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

		block = calloc(1, sizeof *block + room);
		CHECK(block); /* the host is out of memory before anything was started */
		block->size = room;
		block->before = arena->last;
		arena->last = block;
	}
	at = block->bytes + block->used;
	block->used += size;
	return at;
}

char *arena_text(struct arena *arena, const char *from, size_t size)
{
	char *text = arena_alloc(arena, size + 1);

	memcpy(text, from, size);
	return text;
}

char *arena_print(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	char *text;
	int size;

	va_start(args, format);
	va_copy(again, args);
	size = vsnprintf(NULL, 0, format, args);
	CHECK(size >= 0);
	text = arena_alloc(arena, (size_t)size + 1);
	(void)vsnprintf(text, (size_t)size + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

void arena_finish(struct arena *arena)
{
	while (arena->last) {
		struct arena_block *block = arena->last;

		arena->last = block->before;
		free(block);
	}
}

void texts_add(struct arena *arena, struct texts *texts, const char *text)
{
	if (texts->count + 2 > texts->capacity) {
		size_t capacity = texts->capacity ? texts->capacity * 2 : 16;
		char **list = arena_alloc(arena, capacity * sizeof *list);

		if (texts->count > 0)
			memcpy(list, texts->list, texts->count * sizeof *list);
		texts->list = list;
		texts->capacity = capacity;
	}
	texts->list[texts->count++] = (char *)(uintptr_t)text;
	texts->list[texts->count] = NULL;
}

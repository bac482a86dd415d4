/* Slot 0 is never used, so the first object has id 1: FUSE's root. */
#include "devices/fs/fs_private.h"

enum { FIRST_SIZE = 64 };

static int grow(struct fs_table *table)
{
	uint32_t size = table->size ? table->size * 2 : FIRST_SIZE;
	struct fs_slot *slots = realloc(table->slots, size * sizeof *slots);

	if (!slots)
		return -ENOMEM;
	memset(slots + table->size, 0, (size - table->size) * sizeof *slots);
	/* the new ones as a list, lowest first; slot 0 ends it */
	for (uint32_t i = size; i-- > table->size;) {
		if (i == 0)
			continue;
		slots[i].next_free = i + 1 < size ? i + 1 : 0;
	}
	table->first_free = table->size ? table->size : 1;
	table->slots = slots;
	table->size = size;
	return 0;
}

int fs_table_add(struct fs_table *table, void *object, uint64_t *id)
{
	uint32_t index;
	int r;

	if (table->used >= table->most)
		return -ENFILE;
	if (table->first_free == 0) {
		r = grow(table);
		if (r < 0)
			return r;
	}
	index = table->first_free;
	table->first_free = table->slots[index].next_free;
	table->slots[index].object = object;
	table->used++;
	*id = (uint64_t)table->slots[index].generation << 32 | index;
	return 0;
}

static struct fs_slot *find(const struct fs_table *table, uint64_t id)
{
	uint32_t index = (uint32_t)id;
	struct fs_slot *slot;

	if (index >= table->size)
		return NULL;
	slot = &table->slots[index];
	return slot->object && slot->generation == id >> 32 ? slot : NULL;
}

void *fs_table_find(const struct fs_table *table, uint64_t id)
{
	const struct fs_slot *slot = find(table, id);

	return slot ? slot->object : NULL;
}

void fs_table_remove(struct fs_table *table, uint64_t id)
{
	struct fs_slot *slot = find(table, id);

	if (!slot)
		return;
	slot->object = NULL;
	slot->generation++;
	slot->next_free = table->first_free;
	table->first_free = (uint32_t)id;
	table->used--;
}

void fs_table_finish(struct fs_table *table)
{
	free(table->slots);
	*table = (struct fs_table){ .most = table->most };
}

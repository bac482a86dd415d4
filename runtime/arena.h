#pragma once
#include <stddef.h>

/* Memory that is all released at once: a command's configuration, a request to the agent. What a
 * guest or an image sends is never put in one. Zeroed is an empty arena. */
struct arena_block;
struct arena {
	struct arena_block *last;
};

void *arena_alloc(struct arena *arena, size_t size); /* zeroed; never NULL */
char *arena_text(struct arena *arena, const char *from, size_t size);
__attribute__((format(printf, 2, 3))) char *arena_print(struct arena *arena, const char *format,
							...);
void arena_finish(struct arena *arena);

/* A list of texts that grows in an arena; list[count] is NULL. */
struct texts {
	char **list;
	size_t count, capacity;
};
void texts_add(struct arena *arena, struct texts *texts, const char *text); /* text is borrowed */

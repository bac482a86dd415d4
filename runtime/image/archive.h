#pragma once
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* Reads an archive (tar, also compressed) in confined children. Only names and bytes come out of
 * them, and both are judged again here. */
struct archive_entry {
	const char *name; /* as in the archive */
	const char *link; /* of a hard or symbolic link, else "" */
	int is_file, is_symlink;
	uint64_t size;
};

struct archive_reader {
	/* Called for each entry; 1 wants its content, 0 does not, negative ends the reading. */
	int (*entry)(void *context, const struct archive_entry *entry);
	int (*content)(void *context, const void *data, size_t size);
	void *context;
};

/* From the start of fd, which must be seekable. */
int archive_read(int fd, const struct archive_reader *reader, struct error *err);

#pragma once
#include "runtime/image/reference.h"
#include "runtime/image/store.h"

/* The files of a local image by their names: a folder, or an archive that is read by a confined
 * child. */
struct bundle {
	int fd; /* of the folder or the archive; owned */
	bool is_archive;
	const struct store *store; /* an archive's big members go to unnamed files in its tmp/ */
	struct bundle_member *members;
	size_t member_count;
};

/* path "-" is standard input, an archive; of a pipe a copy is made in the store. */
int bundle_open(const struct store *store, const char *path, bool is_archive, struct bundle *out,
		struct error *err);
void bundle_close(struct bundle *bundle);

bool bundle_has(const struct bundle *bundle, const char *name);

/* A file of up to 4 MiB; text ends with a NUL that does not count. The caller frees it. */
int bundle_text(struct bundle *bundle, const char *name, char **text, size_t *size,
		struct error *err);

/* Makes bundle_file quick for these: one pass through the archive instead of one for each. */
int bundle_prepare(struct bundle *bundle, const char *const *names, size_t count,
		   struct error *err);

/* A file of any size, open at its start; the caller closes it. */
int bundle_file(struct bundle *bundle, const char *name, int *fd, struct error *err);

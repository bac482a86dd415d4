#include "runtime/image/fetch.h"

#include "base/own.h"
#include "runtime/image/local.h"
#include "runtime/image/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int fetch_init(struct fetch *fetch, const char *text, const char *platform, struct error *err)
{
	struct fetch parsed = { .text = text };
	size_t hex = strspn(text, "0123456789abcdef");
	int r = platform_parse(platform, &parsed.platform, err);

	if (r < 0)
		return r;
	parsed.is_id = strncmp(text, "sha256:", 7) == 0 || (hex == 64 && text[hex] == '\0');
	if (!parsed.is_id) {
		r = reference_parse(text, &parsed.reference, err);
		if (r == 0 && parsed.reference.kind == REFERENCE_REGISTRY)
			reference_name(&parsed.reference, parsed.name);
	}
	if (r == 0)
		*fetch = parsed;
	return r;
}

static int fetch_local(const struct store *store, const struct fetch *fetch, const char *name,
		       struct progress *progress, char id[IMAGE_DIGEST_SIZE], int *lock,
		       struct error *err)
{
	struct record_name given = { .name = "" };
	struct local_image image;
	struct bundle bundle;
	int r = bundle_open(store, fetch->reference.path,
			    fetch->reference.kind != REFERENCE_OCI_DIR, &bundle, err);

	if (r < 0)
		return r;
	r = local_find(&bundle, &fetch->reference, LOCAL_ANY, &fetch->platform, &image, err);
	if (r == 0) {
		free(image.names); /* its own names are kept by load only */
		image.names = NULL;
		image.name_count = 0;
		if (name) {
			(void)snprintf(given.name, sizeof given.name, "%s", name);
			image.names = &given;
			image.name_count = 1;
		}
		r = local_install(&image, store, progress, lock, err);
		memcpy(id, image.install.id, IMAGE_DIGEST_SIZE);
		image.names = NULL;
		local_finish(&image);
	}
	bundle_close(&bundle);
	return r;
}

int fetch_run(const struct store *store, const struct fetch *fetch, const char *name,
	      struct progress *progress, char id[IMAGE_DIGEST_SIZE], int *lock, struct error *err)
{
	int r;

	(void)store_clean(store, false);
	if (fetch->reference.kind == REFERENCE_REGISTRY)
		r = registry_pull(store, fetch, progress, id, lock, err);
	else
		r = fetch_local(store, fetch, name, progress, id, lock, err);
	if (r == -ENOSPC)
		(void)store_clean(store, true);
	return r;
}

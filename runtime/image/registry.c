#include "runtime/image/registry.h"

#include "base/own.h"
#include "runtime/image/digest.h"
#include "runtime/image/manifest.h"
#include "runtime/image/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NESTING = 3, PATH_SIZE = REFERENCE_NAME_MAX + 32 };

static const char accept_manifests[] = "Accept: application/vnd.oci.image.index.v1+json, "
				       "application/vnd.oci.image.manifest.v1+json, "
				       "application/vnd.docker.distribution.manifest.list.v2+json, "
				       "application/vnd.docker.distribution.manifest.v2+json";

struct pull {
	struct session session;
	const struct fetch *fetch;
	struct install install;
	struct manifest manifest;
	char root_digest[IMAGE_DIGEST_SIZE]; /* of what the name led to: index or manifest */
	struct transfers transfers;
};

/* A manifest or index by tag or digest; digest is set to what it has. */
static int get_manifest(struct pull *pull, const char *name, char digest[IMAGE_DIGEST_SIZE],
			struct response *out, struct error *err)
{
	const char *what = reference_familiar(pull->fetch->name);
	char path[PATH_SIZE];
	int r;

	(void)snprintf(path, sizeof path, "manifests/%s", name);
	r = session_get(&pull->session, path, accept_manifests, what, out, err);
	if (r < 0)
		return r;
	r = digest_memory(out->body ? out->body : "", out->size, digest, err);
	if (r == 0 && ((digest_is_valid(name) && strcmp(name, digest) != 0) ||
		       (digest_is_valid(out->digest) && strcmp(out->digest, digest) != 0)))
		r = error_set(err, -EBADMSG,
			      "the manifest that %s sends for %s does not have its digest: it is "
			      "damaged",
			      pull->session.registry, what);
	return r;
}

static int parse_response(const struct response *response, const char *what, struct manifest *out,
			  struct error *err)
{
	return manifest_parse(response->body ? response->body : "", response->size,
			      response->type[0] ? response->type : NULL, what, out, err);
}

static void keep_manifest(struct pull *pull, const char digest[IMAGE_DIGEST_SIZE],
			  struct response *response)
{
	memcpy(pull->install.manifest_digest, digest, IMAGE_DIGEST_SIZE);
	pull->install.manifest_size = response->size;
	pull->install.manifest_text = take_ptr(response->body);
	response_finish(response);
}

/* From the name through indexes to the manifest for the platform. */
static int find_manifest(struct pull *pull, struct error *err)
{
	const struct fetch *fetch = pull->fetch;
	const char *what = reference_familiar(fetch->name);
	char name[REFERENCE_NAME_MAX + 1], digest[IMAGE_DIGEST_SIZE];

	(void)snprintf(name, sizeof name, "%s",
		       fetch->reference.digest[0] ? fetch->reference.digest : fetch->reference.tag);
	for (int depth = 0; depth < MAX_NESTING; depth++) {
		const struct manifest_entry *entry = NULL;
		struct response response = { 0 };
		int r = get_manifest(pull, name, digest, &response, err);

		if (r == 0)
			r = parse_response(&response, what, &pull->manifest, err);
		if (r == 0 && depth == 0)
			memcpy(pull->root_digest, digest, sizeof digest);
		if (r == 0 && pull->manifest.kind == MANIFEST_IMAGE) {
			keep_manifest(pull, digest, &response);
			return 0;
		}
		if (r == 0)
			r = manifest_select(&pull->manifest, &fetch->platform, what, &entry, err);
		if (r == 0)
			(void)snprintf(name, sizeof name, "%s", entry->descriptor.digest);
		manifest_finish(&pull->manifest);
		response_finish(&response);
		if (r < 0)
			return r;
	}
	return error_set(err, -EINVAL, "%s: its indexes lead to indexes too often", what);
}

static int get_config(struct pull *pull, struct error *err)
{
	const struct descriptor *config = &pull->manifest.config;
	const char *what = reference_familiar(pull->fetch->name);
	struct response response = { 0 };
	char path[PATH_SIZE];
	int r;

	(void)snprintf(path, sizeof path, "blobs/%s", config->digest);
	r = session_get(&pull->session, path, NULL, what, &response, err);
	if (r == 0 && response.size != config->size)
		r = error_set(err, -EBADMSG, "%s: its configuration has %zu bytes, not %llu", what,
			      response.size, (unsigned long long)config->size);
	if (r == 0)
		r = install_config(&pull->install, &response.body, response.size, config->digest,
				   pull->manifest.layer_count, &pull->fetch->platform, what, err);
	response_finish(&response);
	return r;
}

/* Every blob of a layer that is not in the store is asked for at once, and once more when it is
 * needed for another object. */
static int queue_missing(void *context, const struct layer_plan *plan, struct error *err)
{
	struct pull *pull = context;
	struct progress *progress = pull->transfers.progress;
	bool missing[IMAGE_MAX_LAYERS];
	int r = layers_missing(pull->transfers.store, plan, missing, err);

	for (size_t at = plan->object_count; r == 0 && at-- > 0;) {
		const struct layer_object *object = &plan->objects[at];

		for (size_t k = 0; k < object->count; k++) {
			size_t index = plan->indices[object->first + k];
			struct transfer *item = &pull->transfers.items[index];

			item->size = pull->manifest.layers[index].size;
			memcpy(item->digest, pull->manifest.layers[index].digest,
			       IMAGE_DIGEST_SIZE);
			memcpy(item->object, object->digest, IMAGE_DIGEST_SIZE);
			if (!missing[at] || item->state != TRANSFER_IDLE)
				continue;
			item->state = TRANSFER_QUEUED;
			progress->total_bytes += item->counted ? 0 : item->size;
		}
	}
	progress->layers = (unsigned)plan->object_count;
	return r;
}

static int open_layer(void *context, size_t index, int *fd, struct error *err)
{
	struct pull *pull = context;

	return transfers_wait(&pull->transfers, index, fd, err);
}

static void drop_layer(void *context, size_t index)
{
	struct pull *pull = context;

	transfers_drop(&pull->transfers, index);
}

/* Downloads go on while a layer is converted; one that fails ends the conversion too. */
static int pump(void *context)
{
	struct pull *pull = context;

	return transfers_pump(&pull->transfers, 0, NULL);
}

static int install(struct pull *pull, const struct store *store, struct progress *progress,
		   int *lock, struct error *err)
{
	struct layer_source source = {
		.planned = queue_missing,
		.open = open_layer,
		.done = drop_layer,
		.idle = pump,
		.context = pull,
		.what = reference_familiar(pull->fetch->name),
	};
	struct record_name name = { .name = "" };
	int r = transfers_init(&pull->transfers, &pull->session, store, progress,
			       pull->manifest.layer_count, err);

	if (r < 0)
		return r;
	(void)snprintf(name.name, sizeof name.name, "%s", pull->fetch->name);
	memcpy(name.digest, pull->root_digest, sizeof name.digest);
	r = install_image(store, &pull->install, &source, &name, 1, progress, lock, err);
	if (r == 0)
		transfers_clean(&pull->transfers);
	if (r < 0) {
		struct error first;

		/* a failed download is the cause, where there is one */
		if (transfers_pump(&pull->transfers, 0, &first) < 0)
			*err = first;
	}
	transfers_finish(&pull->transfers);
	return r < 0 ? err->code : 0;
}

int registry_pull(const struct store *store, const struct fetch *fetch, struct progress *progress,
		  char id[IMAGE_DIGEST_SIZE], int *lock, struct error *err)
{
	struct pull pull = { .fetch = fetch };
	int r = session_open(&pull.session, &fetch->reference, err);

	if (r < 0)
		return r;
	r = find_manifest(&pull, err);
	if (r == 0)
		r = get_config(&pull, err);
	if (r == 0)
		r = install(&pull, store, progress, lock, err);
	if (r == 0)
		memcpy(id, pull.install.id, IMAGE_DIGEST_SIZE);
	manifest_finish(&pull.manifest);
	install_finish(&pull.install);
	session_close(&pull.session);
	return r;
}

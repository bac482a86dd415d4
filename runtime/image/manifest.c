#include "runtime/image/manifest.h"

#include "base/own.h"
#include "runtime/image/digest.h"
#include "runtime/image/document.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum media_role { ROLE_INDEX, ROLE_IMAGE, ROLE_CONFIG, ROLE_LAYER, ROLE_REFUSED };

static const struct {
	const char *type;
	enum media_role role;
	const char *refusal;
} media_types[] = {
	{ "application/vnd.oci.image.index.v1+json", ROLE_INDEX, NULL },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", ROLE_INDEX, NULL },
	{ "application/vnd.oci.image.manifest.v1+json", ROLE_IMAGE, NULL },
	{ "application/vnd.docker.distribution.manifest.v2+json", ROLE_IMAGE, NULL },
	{ "application/vnd.docker.distribution.manifest.v1+json", ROLE_REFUSED,
	  "is in Docker's schema 1, which was given up in 2017: push it again with a newer tool" },
	{ "application/vnd.docker.distribution.manifest.v1+prettyjws", ROLE_REFUSED,
	  "is in Docker's schema 1, which was given up in 2017: push it again with a newer tool" },
	{ "application/vnd.oci.image.config.v1+json", ROLE_CONFIG, NULL },
	{ "application/vnd.docker.container.image.v1+json", ROLE_CONFIG, NULL },
	{ "application/vnd.docker.plugin.v1+json", ROLE_REFUSED,
	  "is a Docker plugin, not an image" },
	{ "application/vnd.oci.image.layer.v1.tar", ROLE_LAYER, NULL },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", ROLE_LAYER, NULL },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", ROLE_LAYER, NULL },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", ROLE_LAYER, NULL },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", ROLE_LAYER, NULL },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", ROLE_LAYER, NULL },
	{ "application/vnd.docker.image.rootfs.diff.tar", ROLE_LAYER, NULL },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", ROLE_LAYER, NULL },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", ROLE_LAYER, NULL },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar", ROLE_LAYER, NULL },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", ROLE_LAYER, NULL },
};

static int media_role(const struct document *document, const char *type, const char *thing,
		      enum media_role *out)
{
	for (size_t i = 0; i < sizeof media_types / sizeof *media_types; i++) {
		if (strcmp(media_types[i].type, type) != 0)
			continue;
		if (media_types[i].role == ROLE_REFUSED)
			return error_set(document->err, -ENOTSUP, "%s %s", document->what,
					 media_types[i].refusal);
		*out = media_types[i].role;
		return 0;
	}
	return error_set(document->err, -ENOTSUP, "%s: %s has the unknown media type \"%.100s\"",
			 document->what, thing, type);
}

static int parse_descriptor(const struct document *document, json_object *object, const char *thing,
			    struct descriptor *out, enum media_role *role)
{
	const char *digest = NULL, *type = NULL;
	int r = document_need_text(document, object, "mediaType", &type);

	if (r == 0)
		r = document_need_text(document, object, "digest", &digest);
	if (r == 0)
		r = digest_parse(digest, document->what, out->digest, document->err);
	if (r == 0)
		r = document_size(document, object, "size", &out->size);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(object, "size", NULL))
		return error_set(document->err, -EINVAL, "%s: %s has no \"size\"", document->what,
				 thing);
	return media_role(document, type, thing, role);
}

static int parse_layers(const struct document *document, json_object *array, struct manifest *out)
{
	size_t count = json_object_array_length(array);

	if (count == 0)
		return error_set(document->err, -EINVAL, "%s has no layers", document->what);
	if (count > MANIFEST_MAX_LAYERS)
		return error_set(document->err, -E2BIG, "%s has %zu layers: the limit is %d",
				 document->what, count, MANIFEST_MAX_LAYERS);
	out->layers = calloc(count, sizeof *out->layers);
	if (!out->layers)
		return error_set(document->err, -ENOMEM, "%s: out of memory", document->what);
	for (size_t i = 0; i < count; i++) {
		json_object *layer = json_object_array_get_idx(array, i);
		enum media_role role = ROLE_REFUSED;
		char thing[32];
		int r;

		(void)snprintf(thing, sizeof thing, "layer %zu", i + 1);
		if (!json_object_is_type(layer, json_type_object))
			return error_set(document->err, -EINVAL, "%s: %s is not an object",
					 document->what, thing);
		r = parse_descriptor(document, layer, thing, &out->layers[i], &role);
		if (r < 0)
			return r;
		if (role != ROLE_LAYER)
			return error_set(document->err, -ENOTSUP,
					 "%s: %s has the media type of something else",
					 document->what, thing);
		out->layer_count = i + 1;
	}
	return 0;
}

static int parse_image(const struct document *document, json_object *root, struct manifest *out)
{
	json_object *config = NULL, *layers = NULL;
	enum media_role role = ROLE_REFUSED;
	int r = document_need(document, root, "config", json_type_object, &config);

	if (r == 0)
		r = parse_descriptor(document, config, "the configuration", &out->config, &role);
	if (r == 0 && role != ROLE_CONFIG)
		r = error_set(document->err, -ENOTSUP, "%s is not a container image",
			      document->what);
	if (r == 0 && out->config.size > DOCUMENT_MAX_SIZE)
		r = error_set(document->err, -EFBIG, "%s: its configuration is larger than 4 MiB",
			      document->what);
	if (r == 0)
		r = document_need(document, root, "layers", json_type_array, &layers);
	return r < 0 ? r : parse_layers(document, layers, out);
}

static int parse_entry_names(const struct document *document, json_object *object,
			     struct manifest_entry *entry)
{
	static const char *const keys[] = { "io.containerd.image.name",
					    "org.opencontainers.image.ref.name" };
	json_object *annotations;
	const char *text = NULL;
	int r = document_field(document, object, "annotations", json_type_object, &annotations);

	for (size_t i = 0; r == 0 && annotations && !text && i < 2; i++)
		r = document_text(document, annotations, keys[i], &text);
	if (r < 0 || !text)
		return r;
	entry->ref_name = strdup(text);
	return entry->ref_name ? 0 : error_set(document->err, -ENOMEM, "out of memory");
}

static int parse_entry_platform(const struct document *document, json_object *object,
				struct manifest_entry *entry)
{
	const char *os = NULL, *architecture = NULL, *variant = NULL;
	json_object *platform = NULL;
	int r = document_field(document, object, "platform", json_type_object, &platform);

	if (r < 0 || !platform)
		return r;
	r = document_text(document, platform, "os", &os);
	if (r == 0)
		r = document_text(document, platform, "architecture", &architecture);
	if (r == 0)
		r = document_text(document, platform, "variant", &variant);
	if (r < 0)
		return r;
	platform_set(&entry->platform, os, architecture, variant);
	entry->has_platform = true;
	return 0;
}

/* Entries of other kinds (signatures, attestations) are normal in an index: they are left out. */
static int parse_entry(const struct document *document, json_object *object, struct manifest *out)
{
	struct manifest_entry *entry = &out->entries[out->entry_count];
	enum media_role role = ROLE_REFUSED;
	const char *type;
	int r;

	if (!json_object_is_type(object, json_type_object))
		return error_set(document->err, -EINVAL, "%s: an entry is not an object",
				 document->what);
	r = document_need_text(document, object, "mediaType", &type);
	if (r < 0)
		return r;
	r = media_role(&(struct document){ .what = document->what }, type, "", &role);
	if (r < 0 || (role != ROLE_IMAGE && role != ROLE_INDEX))
		return 0;
	r = parse_descriptor(document, object, "an entry", &entry->descriptor, &role);
	if (r == 0)
		r = parse_entry_platform(document, object, entry);
	if (r == 0)
		r = parse_entry_names(document, object, entry);
	if (r < 0)
		return r;
	entry->is_index = role == ROLE_INDEX;
	out->entry_count++;
	return 0;
}

static int parse_index(const struct document *document, json_object *root, struct manifest *out)
{
	json_object *array;
	size_t count;
	int r = document_need(document, root, "manifests", json_type_array, &array);

	if (r < 0)
		return r;
	count = json_object_array_length(array);
	if (count > MANIFEST_MAX_ENTRIES)
		return error_set(document->err, -E2BIG, "%s has %zu entries: the limit is %d",
				 document->what, count, MANIFEST_MAX_ENTRIES);
	out->entries = calloc(count ? count : 1, sizeof *out->entries);
	if (!out->entries)
		return error_set(document->err, -ENOMEM, "%s: out of memory", document->what);
	out->entry_slots = count;
	for (size_t i = 0; i < count && r == 0; i++)
		r = parse_entry(document, json_object_array_get_idx(array, i), out);
	return r;
}

/* What the document says of itself, what its sender says of it and what it contains must agree:
 * else two programs could see two images in one digest. */
static int find_kind(const struct document *document, json_object *root, const char *media_type,
		     enum media_role *out)
{
	bool has_layers = json_object_object_get_ex(root, "layers", NULL);
	bool has_manifests = json_object_object_get_ex(root, "manifests", NULL);
	const char *own_type = NULL;
	uint64_t version = 0;
	enum media_role role = ROLE_REFUSED;
	int r = document_text(document, root, "mediaType", &own_type);

	if (r == 0)
		r = document_size(document, root, "schemaVersion", &version);
	if (r < 0)
		return r;
	if (version == 1)
		return error_set(document->err, -ENOTSUP,
				 "%s is in Docker's schema 1, which was given up in 2017: push it "
				 "again with a newer tool",
				 document->what);
	if (version != 2)
		return error_set(document->err, -EINVAL, "%s: its schemaVersion is not 2",
				 document->what);
	*out = has_manifests ? ROLE_INDEX : ROLE_IMAGE;
	if (has_layers && has_manifests)
		return error_set(document->err, -EINVAL, "%s is a manifest and an index at once",
				 document->what);
	for (int i = 0; i < 2; i++) {
		const char *type = i == 0 ? own_type : media_type;

		r = type ? media_role(document, type, "it", &role) : 0;
		if (r < 0)
			return r;
		if (type && role != *out)
			return error_set(document->err, -EINVAL,
					 "%s: its media type \"%.80s\" does not fit its content",
					 document->what, type);
	}
	return 0;
}

int manifest_parse(const char *text, size_t size, const char *media_type, const char *what,
		   struct manifest *out, struct error *err)
{
	struct document document = { .what = what, .err = err };
	struct manifest parsed = { .kind = MANIFEST_IMAGE };
	own_json *root = NULL;
	enum media_role role = ROLE_IMAGE;
	int r = document_parse(&document, text, size, json_type_object, &root);

	if (r == 0)
		r = find_kind(&document, root, media_type, &role);
	if (r < 0)
		return r;
	parsed.kind = role == ROLE_INDEX ? MANIFEST_INDEX : MANIFEST_IMAGE;
	r = role == ROLE_INDEX ? parse_index(&document, root, &parsed)
			       : parse_image(&document, root, &parsed);
	if (r < 0) {
		manifest_finish(&parsed);
		return r;
	}
	*out = parsed;
	return 0;
}

void manifest_finish(struct manifest *manifest)
{
	/* all that were allocated: also the one whose parsing failed */
	for (size_t i = 0; i < manifest->entry_slots; i++)
		free(manifest->entries[i].ref_name);
	free(manifest->entries);
	free(manifest->layers);
	*manifest = (struct manifest){ .kind = MANIFEST_IMAGE };
}

/* Adds "linux/amd64, " to a list as long as it fits. */
static void add_platform(char *list, size_t size, const struct platform *platform)
{
	size_t used = strlen(list);
	char text[PLATFORM_TEXT_SIZE];

	platform_text(platform, text);
	if (strcmp(text, "unknown/unknown") == 0) /* attestations */
		return;
	(void)snprintf(list + used, size - used, "%s%s", used ? ", " : "", text);
}

int manifest_select(const struct manifest *index, const struct platform *platform, const char *what,
		    const struct manifest_entry **out, struct error *err)
{
	const struct manifest_entry *found = NULL;
	char wanted[PLATFORM_TEXT_SIZE], list[140] = "";

	for (size_t i = 0; i < index->entry_count; i++) {
		const struct manifest_entry *entry = &index->entries[i];

		if (!entry->has_platform || !platform_matches(platform, &entry->platform))
			continue;
		/* the variant that was asked for, else the first that fits */
		if (!found || (strcmp(found->platform.variant, platform->variant) != 0 &&
			       strcmp(entry->platform.variant, platform->variant) == 0))
			found = entry;
	}
	/* layouts and some registries leave the platform of an only image to its configuration */
	if (!found && index->entry_count == 1 && !index->entries[0].has_platform)
		found = &index->entries[0];
	if (found) {
		*out = found;
		return 0;
	}
	for (size_t i = 0; i < index->entry_count; i++)
		if (index->entries[i].has_platform)
			add_platform(list, sizeof list, &index->entries[i].platform);
	platform_text(platform, wanted);
	return error_set(err, -ENOENT, "%s is not there for %s, only for: %s", what, wanted,
			 list[0] ? list : "no platform at all");
}

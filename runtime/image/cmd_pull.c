#include "runtime/image/commands.h"

#include "base/own.h"
#include "runtime/image/digest.h"
#include "runtime/image/fetch.h"
#include "runtime/image/local.h"
#include "runtime/image/local_docker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_FAILED = 1 };

static int fail(struct progress *progress, const struct error *err)
{
	progress_finish(progress);
	(void)fprintf(stderr, "katavm: %s\n", err->text);
	return EXIT_FAILED;
}

static int set_progress(const struct options *options, const char *title, struct progress *progress,
			struct error *err)
{
	const char *word = options_value(options, "progress");
	enum progress_mode mode = PROGRESS_AUTO;
	int r = word ? progress_parse(word, &mode, err) : 0;

	if (options_flag(options, "quiet"))
		mode = PROGRESS_NONE;
	progress_init(progress, mode, title);
	return r;
}

static int pull_main(const struct options *options)
{
	const char *text = options->arguments[0];
	char id[IMAGE_DIGEST_SIZE];
	struct progress progress = { 0 };
	struct store store = { 0 };
	struct fetch fetch = { 0 };
	struct error err = { 0 };
	own_fd lock = -1;
	int r = set_progress(options, text, &progress, &err);

	if (r == 0)
		r = fetch_init(&fetch, text, options_value(options, "platform"), &err);
	if (r == 0 && fetch.is_id)
		r = error_set(&err, -EINVAL, "%.100s is an image's id: a pull wants a name", text);
	if (r == 0)
		r = store_open(options_value(options, "root"), &store, &err);
	if (r == 0)
		r = fetch_run(&store, &fetch, NULL, &progress, id, &lock, &err);
	store_close(&store);
	if (r < 0)
		return fail(&progress, &err);
	progress_finish(&progress);
	(void)printf("%s\n", fetch.name[0] && !options_flag(options, "quiet") ? fetch.name : id);
	return 0;
}

#define PROGRESS_OPTION                                                                            \
	{                                                                                          \
		"progress", 0, OPTION_VALUE, "HOW",                                                \
		    "how progress is shown: auto, plain, json or none", "auto|plain|json|none"     \
	}

static const struct option_spec pull_options[] = {
	{ "all-tags", 'a', OPTION_LATER, NULL, "each tag is pulled by its name", NULL },
	{ "disable-content-trust", 0, OPTION_LATER, NULL, "signatures are not looked at", NULL },
	{ "platform", 0, OPTION_VALUE, "OS/ARCH[/VARIANT]",
	  "which image of several (default: this machine's)", NULL },
	PROGRESS_OPTION,
	{ "quiet", 'q', OPTION_FLAG, NULL, "print the image's id only", NULL },
	{ 0 },
};

const struct command image_pull_command = {
	.name = "pull",
	.arguments = "IMAGE",
	.summary = "Fetch an image from a registry",
	.description =
	    "IMAGE is a name (debian, debian:12, host:5000/name@sha256:...) or a local\n"
	    "image: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME].",
	.options = pull_options,
	.min_arguments = 1,
	.max_arguments = 1,
	.main = pull_main,
};

/* One image of an archive, with its own names and the given one. */
static int load_one(const struct store *store, struct bundle *bundle,
		    const struct reference *reference, size_t index,
		    const struct platform *platform, const char *tag, struct progress *progress,
		    struct error *err)
{
	struct local_image image;
	own_fd lock = -1;
	int r = local_find(bundle, reference, index, platform, &image, err);

	if (r < 0)
		return r;
	if (tag) {
		free(image.names);
		image.names = calloc(1, sizeof *image.names);
		image.name_count = image.names != NULL;
		if (image.names)
			(void)snprintf(image.names[0].name, sizeof image.names[0].name, "%s", tag);
	}
	for (size_t i = 0; i < image.name_count; i++)
		memcpy(image.names[i].digest, image.install.manifest_digest, IMAGE_DIGEST_SIZE);
	r = local_install(&image, store, progress, &lock, err);
	progress_finish(progress);
	for (size_t i = 0; r == 0 && i < image.name_count; i++)
		(void)printf("Loaded image: %s\n", reference_familiar(image.names[i].name));
	if (r == 0 && image.name_count == 0)
		(void)printf("Loaded image ID: %s\n", image.install.id);
	local_finish(&image);
	return r;
}

/* Every image of what docker save wrote; of an OCI archive the one for the platform. */
static int load_all(const struct store *store, struct bundle *bundle,
		    const struct reference *reference, const struct platform *platform,
		    const char *tag, struct progress *progress, struct error *err)
{
	size_t count = 0;
	int r = 0;

	if (reference->kind == REFERENCE_DOCKER_ARCHIVE && !tag)
		r = local_docker_count(bundle, reference->path, &count, err);
	if (r == 0 && count == 0)
		return load_one(store, bundle, reference, LOCAL_ANY, platform, tag, progress, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = load_one(store, bundle, reference, i, platform, NULL, progress, err);
	return r;
}

static int parse_name(const char *text, char out[REFERENCE_NAME_MAX + 1], struct error *err)
{
	struct reference reference;
	int r = reference_parse(text, &reference, err);

	if (r < 0)
		return r;
	if (reference.kind != REFERENCE_REGISTRY || reference.digest[0])
		return error_set(err, -EINVAL, "%.100s cannot be a name: it is NAME[:TAG]", text);
	reference_name(&reference, out);
	return 0;
}

static int load(const struct options *options, const char *path, struct progress *progress,
		struct error *err)
{
	const char *tag = options_value(options, "tag");
	char name[REFERENCE_NAME_MAX + 1];
	struct reference reference = { .kind = REFERENCE_DOCKER_ARCHIVE };
	struct platform platform;
	struct bundle bundle;
	struct store store;
	int r = platform_parse(options_value(options, "platform"), &platform, err);

	if (r == 0 && tag)
		r = parse_name(tag, name, err);
	if (r == 0)
		r = store_open(options_value(options, "root"), &store, err);
	if (r < 0)
		return r;
	(void)store_clean(&store, false);
	(void)snprintf(reference.path, sizeof reference.path, "%s",
		       strcmp(path, "-") == 0 ? "the archive" : path);
	r = bundle_open(&store, path, true, &bundle, err);
	if (r == 0) {
		/* newer docker save writes both; manifest.json has the names */
		if (!bundle_has(&bundle, "manifest.json") && bundle_has(&bundle, "index.json"))
			reference.kind = REFERENCE_OCI_ARCHIVE;
		r = load_all(&store, &bundle, &reference, &platform, tag ? name : NULL, progress,
			     err);
		bundle_close(&bundle);
	}
	store_close(&store);
	return r;
}

static int load_main(const struct options *options)
{
	const char *path = options_value(options, "input");
	struct progress progress;
	struct error err = { 0 };
	int r;

	if (!path)
		path = "-";
	r = set_progress(options, path, &progress, &err);
	if (r == 0 && strcmp(path, "-") == 0 && isatty(STDIN_FILENO))
		r = error_set(&err, -EINVAL,
			      "load reads an archive: give -i FILE, or standard input from a file "
			      "or pipe");
	if (r == 0)
		r = load(options, path, &progress, &err);
	return r < 0 ? fail(&progress, &err) : 0;
}

static const struct option_spec load_options[] = {
	{ "input", 'i', OPTION_VALUE, "FILE", "the archive (default: standard input)", NULL },
	{ "tag", 't', OPTION_VALUE, "NAME", "the image's name in the store", NULL },
	{ "platform", 0, OPTION_VALUE, "OS/ARCH[/VARIANT]",
	  "which image of several (default: this machine's)", NULL },
	PROGRESS_OPTION,
	{ "quiet", 'q', OPTION_FLAG, NULL, "no progress", NULL },
	{ 0 },
};

const struct command image_load_command = {
	.name = "load",
	.arguments = "",
	.summary = "Load an image from an archive",
	.description = "Reads what docker save, podman save and skopeo write: Docker and OCI "
		       "archives,\nalso compressed with gzip or zstd.",
	.options = load_options,
	.main = load_main,
};

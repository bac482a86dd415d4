#pragma once
#include "base/error.h"
#include "runtime/image/progress.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the rest of the runtime knows of images: a reference goes in, a parsed config and open
 * read-only layers come out. An image that is already in the store costs a few small files to read:
 * nothing is hashed again and no library is loaded. Everything else (registries, archives,
 * conversion) happens behind image_resolve. Not thread-safe; call before any thread is started,
 * because a pull forks confined children. */

enum {
	IMAGE_MAX_LAYERS = 12,  /* disks per image; the bottom layers of deeper images share one */
	IMAGE_DIGEST_SIZE = 72, /* "sha256:" and 64 hexadecimal digits, and the end */
};

enum image_pull { IMAGE_PULL_MISSING, IMAGE_PULL_ALWAYS, IMAGE_PULL_NEVER };

/* items ends with a NULL; it is itself NULL when count is 0. */
struct image_strings {
	char **items;
	size_t count;
};

/* The image's configuration; a text that is absent in the image is NULL, never "". */
struct image_config {
	struct image_strings entrypoint;
	struct image_strings cmd;
	struct image_strings env;           /* KEY=VALUE */
	struct image_strings volumes;       /* paths in the container */
	struct image_strings exposed_ports; /* 80/tcp */
	struct image_strings labels;        /* KEY=VALUE */
	char *workdir;
	char *user; /* user, uid, user:group or uid:gid; names belong to the image's /etc/passwd */
	char *stop_signal;
	char *created; /* RFC 3339 */
	char *os;
	char *architecture;
	char *variant;
};

/* One EROFS image. The descriptor is read-only and carries a shared flock: as long as any copy of
 * it is open in any process, rmi and prune leave the layer alone. */
struct image_layer {
	int fd;
	bool is_opaque;  /* hides all layers below it */
	bool is_implied; /* has folders that only those below describe; no image has it above others
			  */
	uint64_t size;
	char digest[IMAGE_DIGEST_SIZE]; /* diff id, or chain id where layers were squashed */
};

struct image {
	char *name;                 /* docker.io/library/debian:12; NULL for an image without one */
	char id[IMAGE_DIGEST_SIZE]; /* digest of the configuration, as docker shows it */
	char digest[IMAGE_DIGEST_SIZE]; /* digest of the manifest; "" when loaded from an archive */
	struct image_config config;
	/* [0] is the top one, as in lowerdir=; a layer that hides all below it is the last */
	struct image_layer layers[IMAGE_MAX_LAYERS];
	size_t layer_count;
};

struct image_request {
	const char *
	    reference; /* as the user wrote it: name, id, or oci:… oci-archive:… docker-archive:… */
	const char *platform; /* os/arch[/variant]; NULL is linux on this machine's CPU */
	enum image_pull pull;
	enum progress_mode progress; /* written to stderr */
};

/* Finds the image in the store under root (NULL is the default root), fetching or loading it first
 * where the request says so. -EINVAL the reference or image is malformed, -ENOENT there is none,
 * -EACCES the registry refused, -ENOSPC the disk is full, -EBADMSG a digest did not match; err
 * names what and where. On success the caller owns *out and ends it with image_finish. */
int image_resolve(const char *root, const struct image_request *request, struct image *out,
		  struct error *err);

/* Accepts a zeroed image. Closes the layers' descriptors that were not taken (set to -1). */
void image_finish(struct image *image);

/* "missing", "always" or "never"; -EINVAL otherwise. */
int image_pull_parse(const char *text, enum image_pull *out, struct error *err);

/* The folder katavm keeps its data in: root if given, else /var/lib/katavm for root, else
 * $XDG_DATA_HOME/katavm or ~/.local/share/katavm. The caller frees *out. Creates nothing. */
int image_root(const char *root, char **out, struct error *err);

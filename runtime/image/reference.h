#pragma once
#include "base/error.h"
#include "runtime/image/image.h"
#include <stdbool.h>

/* What a user writes to name an image. */
enum reference_kind {
	REFERENCE_REGISTRY,       /* [host[:port]/]name[:tag][@digest] */
	REFERENCE_OCI_DIR,        /* oci:DIR[:TAG] */
	REFERENCE_OCI_ARCHIVE,    /* oci-archive:FILE[:TAG] */
	REFERENCE_DOCKER_ARCHIVE, /* docker-archive:FILE[:NAME] */
};

enum {
	REFERENCE_NAME_MAX = 240, /* a reference is one file name in the store */
	REFERENCE_PATH_SIZE = 4096,
};

struct reference {
	enum reference_kind kind;
	/* a registry's: docker.io, library/debian, 12, "" */
	char host[REFERENCE_NAME_MAX + 1];
	char repository[REFERENCE_NAME_MAX + 1];
	char tag[REFERENCE_NAME_MAX +
		 1]; /* "" when there is only a digest; local: "" is the only image */
	char digest[IMAGE_DIGEST_SIZE];
	/* a local one's */
	char path[REFERENCE_PATH_SIZE];
};

/* Fills in what Docker fills in: docker.io, library/, latest. -EINVAL says what is wrong where. */
int reference_parse(const char *text, struct reference *out, struct error *err);

/* The whole name: docker.io/library/debian:12, or with @digest where one is given (then without
 * the tag, which says nothing any more). Only of a registry's. */
void reference_name(const struct reference *reference, char out[REFERENCE_NAME_MAX + 1]);

/* As people write it: "debian" for docker.io/library/debian. name is a whole name, or a part
 * without tag. Returns a pointer into name. */
const char *reference_familiar(const char *name);

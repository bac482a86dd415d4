#pragma once
#include "runtime/arena.h"
#include "runtime/options.h"

/* What --volume, --mount and --tmpfs ask for, as Docker's users write it. */
enum mount_kind {
	MOUNT_BIND,      /* a folder or file of the host */
	MOUNT_VOLUME,    /* one of katavm's, by name */
	MOUNT_ANONYMOUS, /* a folder of the writable layer, which ends with the container */
	MOUNT_TMPFS,
};

enum mount_cache {                     /* of a share, in the guest */
		   MOUNT_CACHE_AUTO,   /* what the host changes is seen by the next look */
		   MOUNT_CACHE_ALWAYS, /* only the guest changes it */
		   MOUNT_CACHE_NEVER,
};

struct mount_flag {
	enum mount_kind kind;
	const char *source;  /* BIND: an absolute path; VOLUME: its name; else NULL */
	const char *target;  /* an absolute path in the container */
	const char *options; /* TMPFS: as behind the colon of --tmpfs */
	bool read_only;
	bool no_copy; /* VOLUME: stays empty where the image has something */
	enum mount_cache cache;
	bool notify;      /* BIND, VOLUME: inotify inside tells of what is changed outside */
	bool make_source; /* BIND: -v makes a folder that is missing, --mount does not */
};

struct mount_flags {
	struct mount_flag *list; /* in the order of the command line, each target once */
	size_t count;
};

/* Everything in *out lives in arena or argv. Nothing is looked up or made. */
int mount_flags_parse(const struct options *options, struct arena *arena, struct mount_flags *out,
		      struct error *err);

/* The single ones, for tests: text as behind the flag. */
int mount_flag_volume(const char *text, struct arena *arena, struct mount_flag *out,
		      struct error *err);
int mount_flag_mount(const char *text, struct arena *arena, struct mount_flag *out,
		     struct error *err);

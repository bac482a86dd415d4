#pragma once
#include <stdint.h>

/*
 * What this server and a guest's kernel with guest-kernel/patches/0013-fuse-events-from-outside say
 * to each other beyond FUSE, once FS_TELLS was agreed on at INIT. Little endian, as FUSE is here.
 */
#define FS_TELLS (UINT64_C(1) << 62)

enum {
	FS_WATCH = 4000,  /* the node is watched from now on, until it is forgotten; no body */
	FS_EVENTS = 4001, /* struct fs_events_in; one at a time waits until there is something */
	FS_MAX_WATCHES = 8192, /* of a share */
};

struct fs_events_in {
	uint32_t stop; /* 1: answer the one that waits, and this one */
	uint32_t padding;
};

/* The answer: as many as there are, each with its name padded to 8 bytes. */
struct fs_event {
	uint64_t node;
	uint32_t mask;      /* as in inotify(7); IN_Q_OVERFLOW: more happened to it than is told */
	uint32_t cookie;    /* the same for both halves of a rename, else 0 */
	uint32_t name_size; /* in the folder `node`; 0: it happened to the node itself */
	uint32_t padding;
	char name[];
};

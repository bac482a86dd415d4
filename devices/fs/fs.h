#pragma once
#include "devices/io.h"
#include "devices/virtqueue.h"
#include <linux/fuse.h>
#include <stdbool.h>

/*
 * One shared folder: answers the FUSE requests of a guest (protocol 7.38 and newer, Linux 6.12's
 * Documentation/filesystems/fuse.rst and include/uapi/linux/fuse.h) from a folder of the host, or
 * from one file of it, which the guest then sees alone in a folder.
 *
 * The guest is the enemy. What it names is an index into a table; names are single components,
 * opened beneath the root with openat2(2), and no symbolic link is ever followed here. No
 * descriptor is kept for a file that is not open: a file is found again by the folder it was last
 * seen in and its name there, and what is found must be the same inode or the answer is ESTALE.
 *
 * Threads: everything runs on the loop's thread; slow calls (fsync and its like) run on one helper
 * thread per share, made when it is first needed.
 */
struct fs;
struct fs_handle;

/* Requests of one share that may wait at a time for what others have to do, which may be never.
 * Each keeps its place in the guest's queue, and what would end its waiting needs one as well. */
enum { FS_MAX_WAITING = 448 };

/* Folders of one share that are listed at a time with what the host said kept, 32 KiB each. More
 * can be, and the host is asked anew. */
enum { FS_MAX_LISTINGS = 64 };

enum fs_cache {
	FS_CACHE_AUTO, /* what the host changes is seen by the next look; folders: within 100 ms */
	FS_CACHE_ALWAYS, /* the guest is the only one that writes: it may remember everything */
	FS_CACHE_NEVER,  /* nothing is kept in the guest, not even data */
};

struct fs_config {
	struct io *io; /* borrowed */
	int root_fd;   /* ownership passes on success: a folder or an ordinary file, O_PATH does */
	int self_fd;   /* borrowed: /proc/self/fd, to reopen what is open */
	const char *file_name; /* the name of a root that is a file; copied */
	bool read_only;
	bool squash; /* all files belong to this process's user, which is the guest's root */
	enum fs_cache cache;
	bool notify;        /* tell the guest of what others do to what it watches: events.h */
	uint32_t max_nodes; /* files the guest may know at a time; beyond: ENFILE. 0: 65,536 */
};

/* A request from its chain to its answer. Owned by the caller; only chain and done are set. */
struct fs_call {
	struct chain chain;
	void (*done)(struct fs_call *call);
	/* private to this folder */
	struct fs *fs;
	struct fs_call *next;
	struct fuse_in_header in;
	size_t body_size;
	struct fs_handle *handle;      /* held until it is answered */
	uint16_t own[2];               /* notes of own.c, or 0 */
	int owned_fd;                  /* closed when it is answered, or -EBADF */
	uint64_t to_guest, from_guest; /* bytes of files, once it is answered */
	struct io_op op;
	struct io_message message;
	int result;
	int (*work)(struct fs_call *call);
	uint64_t arguments[6];
	uint64_t started_ns;
	struct iovec segments[CHAIN_MAX_SEGMENTS];
};

/* -EINVAL: the root is neither a folder nor a file. */
int fs_create(const struct fs_config *config, struct fs **out);

/* True: the answer is in the chain. False: done(call) will be called from the loop. */
bool fs_serve(struct fs *fs, struct fs_call *call);

/* Answers what waits for a lock, a lease or something to happen. What the disk is at goes on: see
 * fs_pending. */
void fs_interrupt_all(struct fs *fs);
/* Requests that are not answered yet. */
unsigned fs_pending(const struct fs *fs);
/* Forgets all that the guest had. fs_pending must be 0. */
void fs_reset(struct fs *fs);
/* fs_pending must be 0. Accepts NULL. */
void fs_destroy(struct fs *fs);

/* As max_nodes of the configuration: more than before. */
void fs_allow_nodes(struct fs *fs, uint32_t count);

/* For tests: how many files are known, and open, and folders listed. */
uint32_t fs_node_count(const struct fs *fs);
uint32_t fs_handle_count(const struct fs *fs);
unsigned fs_listing_count(const struct fs *fs);

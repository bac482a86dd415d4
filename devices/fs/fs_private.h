#pragma once
#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/fs/fs.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

enum {
	FS_NAME_MAX = 255,
	FS_BODY_MAX = 72 * 1024,     /* the largest request that is not data: a 64 KiB attribute */
	FS_ANSWER_MAX = 72 * 1024,   /* the same for answers */
	FS_PENDING = 1 << 30,        /* an operation's result: answered later */
	FS_ANSWERED = (1 << 30) + 1, /* the answer is in the chain already */
	FS_LATER = (1 << 30) + 2,    /* begun anew when a lease of the file may be over */
	FS_DIR_SLOTS = 128,
	FS_MAX_DEVICES = 64,
};

/* What the guest names things by: indices with a generation, so that what is gone stays gone. */
struct fs_slot {
	void *object; /* NULL: free */
	uint32_t generation, next_free;
};
struct fs_table {
	struct fs_slot *slots;
	uint32_t size, used, first_free, most;
};
int fs_table_add(struct fs_table *table, void *object, uint64_t *id); /* -ENFILE, -ENOMEM */
void *fs_table_find(const struct fs_table *table, uint64_t id);
void fs_table_remove(struct fs_table *table, uint64_t id);
void fs_table_finish(struct fs_table *table);

/* Which inode: a number that is used again has another time of birth. */
struct fs_key {
	uint64_t device, inode, born_ns;
};

struct fs_lock { /* all locks of one owner on one file: an open file description of its own */
	struct fs_lock *next;
	uint64_t owner;
	const struct fs_handle *handle; /* through which it was first locked */
	int fd;
};

struct fs_node {
	struct fs_node *next; /* in its bucket */
	struct fs_key key;
	uint64_t id, lookups;
	struct fs_node *parent; /* NULL for the root: where it was last seen, and as what */
	char *name;
	struct fs_handle *handles;
	struct fs_lock *locks;
	uint32_t children; /* nodes whose parent this is */
	uint16_t type;     /* S_IFMT */
	int16_t dir_slot;  /* or -1 */
	int watch;         /* inotify's number; 0: the guest does not watch it; see events.c */
};

struct fs_listing;

struct fs_handle {
	struct fs_handle *next; /* of the same node */
	struct fs_node *node;
	uint64_t id;
	int fd;
	unsigned busy; /* requests that use fd */
	bool released, has_flock;
	struct fs_listing *listing; /* of a folder, or NULL */
};

struct fs_dir { /* a folder kept open for a while */
	struct fs_node *node;
	int fd;
	uint64_t used;
};

struct fs_worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct fs_call *first, **last;
	bool started, stop;
};

enum { FS_EARLY_INTERRUPTS = 16 };

struct fs {
	struct fs_config config;
	char file_name[FS_NAME_MAX + 1];
	bool is_file, ready; /* ready: INIT was answered */
	bool no_attributes;  /* the root's file system has none, not even of users */
	bool is_in_memory;   /* the root's file system is */
	int sync_fd;         /* something open of the share, for syncfs(2) */
	uint64_t root_device;
	uid_t uid;
	gid_t gid;
	unsigned pending;
	struct fs_table nodes, handles;
	struct fs_node *root, **buckets;
	uint32_t bucket_count;
	uint64_t tick;
	struct fs_dir dirs[FS_DIR_SLOTS];
	struct fs_listing *listings[FS_MAX_LISTINGS]; /* NULL: a free place */
	uint64_t devices[FS_MAX_DEVICES];
	unsigned device_count;
	struct fs_call *waiters; /* who came first is the first */
	struct io_op wait_timer;
	uint64_t retry_ns;                              /* what it took to try all of them again */
	uint64_t early_interrupts[FS_EARLY_INTERRUPTS]; /* of requests that have not come yet */
	unsigned early_interrupt_count;
	struct log_limit limit;
	struct fs_worker worker;
	struct fs_events *events; /* NULL: the guest is told nothing */
	struct fs_own *own;       /* NULL as well then */
	_Alignas(8) uint8_t body[FS_BODY_MAX];
	_Alignas(8) uint8_t answer[FS_ANSWER_MAX];
};

/* ---- node.c: all that a name or an index stands for ---- */

enum { FS_STATX_MASK = STATX_BASIC_STATS | STATX_BTIME };

/* Where a file is to be found with the ...at calls: flags are AT_SYMLINK_NOFOLLOW or 0. */
struct fs_place {
	int dir;
	const char *name;
	int flags;
	char number[12];
};

int fs_nodes_init(struct fs *fs);
void fs_nodes_finish(struct fs *fs);
struct fs_node *fs_node_find(const struct fs *fs, uint64_t id);
/* The node of what was found as name in parent, with one more lookup of the guest's. */
int fs_node_get(struct fs *fs, struct fs_node *parent, const char *name, const struct statx *status,
		struct fs_node **out);
/* Known already? After a rename: that is where it is now. */
void fs_node_moved(struct fs *fs, struct fs_node *parent, const char *name);
void fs_node_forget(struct fs *fs, struct fs_node *node, uint64_t count);
/* Frees it if nobody knows it any more. */
void fs_node_release(struct fs *fs, struct fs_node *node);
/* Borrowed, until the next call of this kind. -ESTALE: it is not there any more. */
int fs_node_dir(struct fs *fs, struct fs_node *node);
int fs_node_place(struct fs *fs, struct fs_node *node, struct fs_place *out);
/* -ESTALE unless it is still the same inode. */
int fs_node_stat(struct fs *fs, struct fs_node *node, struct statx *out);
/* Opens with flags of open(2); O_PATH for any kind, else only ordinary files and folders. -EAGAIN:
 * somebody has a lease of it, who was asked to give it up. */
int fs_node_open(struct fs *fs, struct fs_node *node, int flags, struct statx *status);
/* One name in an open folder, never through a symbolic link. */
int fs_open_beneath(int dir, const char *path, int flags, mode_t mode);
int fs_stat_at(int dir, const char *name, int flags, struct statx *out);
/* Who is known to be at this name of an open folder now; NULL: nobody. */
struct fs_node *fs_node_at(const struct fs *fs, int dir, const char *name);
/* Is it still where it was last seen, looked for from the root on? */
bool fs_node_is_beneath(const struct fs *fs, const struct fs_node *node);
bool fs_key_is(const struct fs_key *key, const struct statx *status);
struct fs_key fs_key_of(const struct statx *status);

/* ---- handle.c ---- */

/* Ownership of fd passes on success. */
int fs_handle_new(struct fs *fs, struct fs_node *node, int fd, struct fs_handle **out);
struct fs_handle *fs_handle_find(const struct fs *fs, uint64_t id, const struct fs_node *node);
void fs_handle_hold(struct fs_handle *handle);
void fs_handle_drop(struct fs *fs, struct fs_handle *handle);
void fs_handle_release(struct fs *fs, struct fs_handle *handle);
/* The descriptor as a name in /proc/self/fd. */
void fs_number(int fd, char out[12]);

/* ---- request.c ---- */

/* The next zero-terminated word of the body, from *at on; NULL: there is none. */
const char *fs_word(const struct fs_call *call, size_t *at);
/* The same for the name of a file: one component, neither "." nor "..". *error says why not. */
const char *fs_name(const struct fs_call *call, size_t *at, int *error);
/* For operations that end later: takes the call's result and answers with size bytes. */
void fs_finish(struct fs_call *call, int result);
/* Runs function(call) on the helper thread; its result is the answer's size, in fs->answer never.
 */
int fs_offload(struct fs_call *call, int (*function)(struct fs_call *call));
void fs_worker_stop(struct fs *fs);

/* ---- attr.c ---- */

void fs_fill_attr(struct fs *fs, const struct statx *status, struct fuse_attr *out);
void fs_fill_entry(struct fs *fs, const struct fs_node *node, const struct statx *status,
		   bool listed, struct fuse_entry_out *out);
uint64_t fs_inode(struct fs *fs, const struct statx *status);

/* ---- credentials.c: files are made as the guest's user ---- */

struct fs_identity {
	bool changed;
};
int fs_become(const struct fs *fs, const struct fs_call *call, struct fs_identity *out);
void fs_unbecome(const struct fs_identity *identity);
/* chmod's set-group bit needs a capability that writing must not have. */
void fs_allow_setgid(bool allow);
/* What the guest calls a user, for the host; -EPERM: not one it may give a file to. */
int fs_host_uid(const struct fs *fs, uint32_t guest, uid_t *out);
int fs_host_gid(const struct fs *fs, uint32_t guest, gid_t *out);

/* ---- lock.c ---- */

void fs_locks_drop(struct fs_node *node, const struct fs_handle *handle, const uint64_t *owner);

/* ---- wait.c ---- */

/* Until again(call) says something other than -EAGAIN, which is the call's result then. -EINTR,
 * -EAGAIN (there are too many): it does not wait. */
int fs_wait(struct fs_call *call, int (*again)(struct fs_call *call));
/* Something was given back. The bodies of this request and of its answer are others' afterwards. */
void fs_wait_retry(struct fs *fs);
void fs_wait_interrupt_all(struct fs *fs);
/* Forgets those whose requests have not come. */
void fs_wait_forget_interrupts(struct fs *fs);

/* ---- xattr.c ---- */

/* Sets no_attributes. */
void fs_look_for_attributes(struct fs *fs);

/* ---- list.c ---- */

/* Of a handle that may have none. */
void fs_listing_end(struct fs *fs, struct fs_handle *handle);

/* ---- events.c: what others do on the host to what the guest watches ---- */

int fs_events_create(struct fs *fs);
/* No request may wait. Does nothing where there is nothing. */
void fs_events_destroy(struct fs *fs);
/* After the nodes were forgotten. */
void fs_events_reset(struct fs *fs);
/* At the end of this turn, whether something has come or not. */
void fs_events_look_soon(struct fs *fs);
/* Answers the request that waits. */
void fs_events_interrupt(struct fs *fs);
/* The guest knows it no more. */
void fs_watch_end(struct fs *fs, struct fs_node *node);
void fs_watch_end_all(struct fs *fs);

/* ---- own.c: to be called before it is done; masks of inotify(7) ---- */

/* To this name of a folder. */
void fs_own_name(struct fs *fs, const struct fs_node *folder, const char *name, uint32_t mask);
/* To whoever is at this name of an open folder. */
void fs_own_child(struct fs *fs, int dir, const char *name, uint32_t mask);
/* To this one, wherever it was last seen. */
void fs_own_node(struct fs *fs, const struct fs_node *node, uint32_t mask);
/* The same by a call that is answered later: fs_own_end when it is done. */
void fs_own_begin(struct fs *fs, struct fs_call *call, const struct fs_node *node, uint32_t mask);
void fs_own_end(struct fs *fs, struct fs_call *call);
/* For events.c: is what this watch tells the guest's own doing? What is not under way is forgotten.
 */
bool fs_own_is(const struct fs *fs, int number, const char *name, uint32_t mask);
void fs_own_clear(struct fs *fs);
int fs_own_create(struct fs *fs);
void fs_own_destroy(struct fs *fs);

/* ---- the operations: the answer's size in fs->answer, or -errno, or FS_... ---- */

typedef int fs_operation(struct fs *fs, struct fs_call *call, struct fs_node *node);

fs_operation fs_op_lookup, fs_op_forget, fs_op_batch_forget, fs_op_getattr, fs_op_setattr,
    fs_op_readlink, fs_op_symlink, fs_op_mknod, fs_op_mkdir, fs_op_unlink, fs_op_rmdir,
    fs_op_rename, fs_op_rename2, fs_op_link, fs_op_open, fs_op_read, fs_op_write, fs_op_statfs,
    fs_op_release, fs_op_fsync, fs_op_setxattr, fs_op_getxattr, fs_op_listxattr, fs_op_removexattr,
    fs_op_flush, fs_op_init, fs_op_opendir, fs_op_readdir, fs_op_readdirplus, fs_op_releasedir,
    fs_op_fsyncdir, fs_op_getlk, fs_op_setlk, fs_op_setlkw, fs_op_create, fs_op_interrupt,
    fs_op_destroy, fs_op_ioctl, fs_op_fallocate, fs_op_lseek, fs_op_copy_file_range, fs_op_syncfs,
    fs_op_statx, fs_op_watch, fs_op_events;

#define FS_BODY(call, type) ((const type *)(const void *)(call)->fs->body)
#define FS_ANSWER(fs, type) ((type *)(void *)(fs)->answer)

/*
 * Events of what others do on the host to what the guest watches.
 *
 * The guest's kernel says of which nodes it wants to hear (FS_WATCH), and those alone are watched
 * here, with inotify(7). It waits with one request (FS_EVENTS), which is answered with what came.
 * What does not fit until it asks again is lost, and it is told so, as a reader of inotify is.
 *
 * The guest's own doing raises events on the host as well, which its kernel has told its processes
 * of already: own.c knows them, and they are left out.
 *
 * A watch follows its inode wherever the host moves it. Before names in a folder are told, or that
 * a file's data changed, the node is looked for beneath the root, where the guest knows it: of what
 * was moved out of the share it hears no more than that.
 */
#include "devices/fs/events.h"
#include "base/container_of.h"
#include "base/log.h"
#include "devices/fs/fs_private.h"

#include <poll.h>
#include <sys/inotify.h>

enum {
	QUEUE_SIZE = 32 * 1024,
	READ_SIZE = 16 * 1024,
	READS_PER_TURN = 8,
	ANSWER_SIZE = 3840, /* what the guest's kernel has room for */
};

static const uint32_t OF_NODES =
    IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF;
static const uint32_t OF_NAMES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

struct watch {
	int number; /* inotify's */
	struct fs_node *node;
};

struct fs_events {
	struct fs *fs;
	int fd;
	struct io_op readable;
	struct io_deferred turn_end;
	struct fs_call *waiting;
	struct watch *watches; /* in the order of their numbers */
	unsigned count, room;
	uint32_t host_cookie, cookie; /* of the last rename: the host's numbers are its own */
	bool lost;
	int told_lost;     /* the watch with the number that was last told of it; 0: none was yet */
	size_t size, last; /* of the queue; where its last event begins */
	struct log_limit limit;
	_Alignas(8) uint8_t queue[QUEUE_SIZE];
};

/* ---- watches ---- */

/* The first whose number is not less. */
static unsigned place_of(const struct fs_events *events, int number)
{
	unsigned low = 0, high = events->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (events->watches[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct fs_node *find(const struct fs_events *events, int number)
{
	unsigned at = place_of(events, number);

	return at < events->count && events->watches[at].number == number ? events->watches[at].node
									  : NULL;
}

/* inotify's is gone already, or will be. */
static void forget(struct fs_events *events, struct fs_node *node)
{
	unsigned at = place_of(events, node->watch);

	events->count--;
	memmove(&events->watches[at], &events->watches[at + 1],
		(events->count - at) * sizeof *events->watches);
	node->watch = 0;
}

void fs_watch_end(struct fs *fs, struct fs_node *node)
{
	int number = node->watch;

	if (number == 0)
		return;
	forget(fs->events, node);
	(void)SYS(inotify_rm_watch, fs->events->fd, number);
}

void fs_watch_end_all(struct fs *fs)
{
	while (fs->events && fs->events->count > 0)
		fs_watch_end(fs, fs->events->watches[fs->events->count - 1].node);
}

static int make_room(struct fs_events *events)
{
	unsigned room = events->room ? events->room * 2 : 64;
	struct watch *more;

	if (events->count < events->room)
		return 0;
	if (events->count >= FS_MAX_WATCHES)
		return -ENOSPC;
	more = realloc(events->watches, room * sizeof *more);
	if (!more)
		return -ENOMEM;
	events->watches = more;
	events->room = room;
	return 0;
}

static int add_watch(struct fs *fs, struct fs_node *node)
{
	struct fs_events *events = fs->events;
	struct statx status;
	own_fd opened = -EBADF;
	char number[12];
	unsigned at;
	int r = make_room(events), fd = fs->config.root_fd;

	if (r < 0)
		return r;
	if (node != fs->root && !fs->is_file) {
		opened = fs_node_open(fs, node, O_PATH, &status);
		fd = opened;
	}
	if (fd < 0)
		return fd;
	fs_number(fd, number); /* in /proc/self/fd, where this process is */
	r = (int)SYS(inotify_add_watch, events->fd, number,
		     node->type == S_IFDIR ? OF_NODES | OF_NAMES : OF_NODES);
	if (r < 0)
		return r;
	at = place_of(events, r);
	if (at < events->count && events->watches[at].number == r)
		return -EBUSY; /* two nodes of one inode: the host gave it another time of birth */
	memmove(&events->watches[at + 1], &events->watches[at],
		(events->count - at) * sizeof *events->watches);
	events->watches[at] = (struct watch){ .number = r, .node = node };
	events->count++;
	node->watch = r;
	return 0;
}

int fs_op_watch(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	int r;

	(void)call;
	if (!fs->events)
		return -ENOSYS;
	if (node->watch > 0 || (fs->is_file && node == fs->root)) /* a folder that is nowhere */
		return 0;
	r = add_watch(fs, node);
	if (r == -ENOSPC || r == -ENOMEM)
		log_guest(
		    &fs->events->limit, LOG_LEVEL_WARNING,
		    "notify: of what the guest watches beyond %u files and folders it is told "
		    "nothing: %s",
		    fs->events->count, sys_text(r));
	return r;
}

/* ---- from inotify to the queue ---- */

static void lose(struct fs_events *events)
{
	events->lost = true;
	events->told_lost = 0;
}

static void put(struct fs_events *events, uint64_t node, const struct inotify_event *from)
{
	size_t name = from->len > 0 ? strlen(from->name) : 0;
	size_t size = sizeof(struct fs_event) + ((name + 7) & ~(size_t)7);
	struct fs_event *to = (void *)(events->queue + events->size);

	if (events->lost && events->told_lost == 0)
		return; /* so that nothing overtakes the word of it */
	if (size > QUEUE_SIZE - events->size) {
		lose(events);
		return;
	}
	memset(to, 0, size);
	*to = (struct fs_event){ .node = node, .mask = from->mask, .name_size = (uint32_t)name };
	memcpy(to->name, from->name, name);
	if (from->cookie != 0) {
		if (from->cookie != events->host_cookie)
			events->cookie++;
		events->host_cookie = from->cookie;
		to->cookie = events->cookie;
	} else if (events->size - events->last == size && /* twice the same says nothing new */
		   memcmp(to, events->queue + events->last, size) == 0) {
		return;
	}
	events->last = events->size;
	events->size += size;
}

static void take(struct fs *fs, const struct inotify_event *event)
{
	struct fs_events *events = fs->events;
	const char *name = event->len > 0 ? event->name : "";
	struct fs_node *node = find(events, event->wd);

	if (event->mask & IN_Q_OVERFLOW)
		lose(events);
	if (!node)
		return;
	if (event->mask & (IN_IGNORED | IN_UNMOUNT)) {
		forget(events, node);
		return;
	}
	if (fs_own_is(fs, event->wd, name, event->mask))
		return;
	put(events, node->id, event);
	if (event->mask & IN_MOVED_TO) /* what the guest knows by its old name is here now */
		fs_node_moved(fs, node, name);
}

/* True: all of it was read. */
static bool read_events(struct fs *fs)
{
	struct fs_events *events = fs->events;
	_Alignas(8) char buffer[READ_SIZE];

	for (int i = 0; i < READS_PER_TURN; i++) {
		long n = SYS_RETRY(read, events->fd, buffer, sizeof buffer);

		if (n <= 0)
			return true;
		for (long at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(buffer + at);

			take(fs, event);
			at += (long)(sizeof *event + event->len);
		}
	}
	return false;
}

/* ---- from the queue to the guest ---- */

static bool may_be_told(const struct fs *fs, const struct fs_event *event,
			const struct fs_node *node)
{
	static const uint32_t of_any = IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;

	return fs->is_file || (event->name_size == 0 && (event->mask & of_any)) ||
	       fs_node_is_beneath(fs, node);
}

/* To be told when the queue has been, which holds what is older; then to the end, whatever comes.
 */
static size_t put_lost(struct fs_events *events, uint8_t *out, size_t size)
{
	unsigned at = place_of(events, events->told_lost + 1);

	for (; at < events->count && ANSWER_SIZE - size >= sizeof(struct fs_event); at++) {
		struct fs_event event = { .node = events->watches[at].node->id,
					  .mask = IN_Q_OVERFLOW };

		memcpy(out + size, &event, sizeof event);
		size += sizeof event;
		events->told_lost = events->watches[at].number;
	}
	events->lost = at < events->count;
	return size;
}

static size_t fill(struct fs *fs, uint8_t *out)
{
	struct fs_events *events = fs->events;
	const struct fs_node *node, *found = NULL;
	size_t at = 0, size = 0;

	if (events->lost && events->told_lost > 0)
		size = put_lost(events, out, size);
	while (at < events->size) {
		const struct fs_event *event = (const void *)(events->queue + at);
		size_t length = sizeof *event + ((event->name_size + 7U) & ~7U);

		if (length > ANSWER_SIZE - size)
			break;
		at += length;
		node = fs_node_find(fs, event->node);
		if (!node || (node != found && !may_be_told(fs, event, node)))
			continue;
		if (event->name_size > 0)
			found = node;
		memcpy(out + size, event, length);
		size += length;
	}
	memmove(events->queue, events->queue + at, events->size - at);
	events->last = events->last > at ? events->last - at : 0;
	events->size -= at;
	if (events->lost && events->told_lost == 0 && events->size == 0)
		size = put_lost(events, out, size);
	return size;
}

static void answer_waiting(struct fs *fs)
{
	struct fs_call *call = fs->events->waiting;
	size_t size = call ? fill(fs, fs->answer) : 0;

	if (size == 0)
		return;
	fs->events->waiting = NULL;
	fs_finish(call, (int)size);
}

static void look(struct fs *fs)
{
	if (read_events(fs))
		fs_own_clear(fs);
	answer_waiting(fs);
}

static void end_turn(struct io_deferred *deferred)
{
	look(container_of(deferred, struct fs_events, turn_end)->fs);
}

void fs_events_look_soon(struct fs *fs)
{
	io_defer(fs->config.io, &fs->events->turn_end);
}

static void on_readable(struct io_op *op, int result)
{
	struct fs_events *events = container_of(op, struct fs_events, readable);
	struct fs *fs = events->fs;

	if (result == -ECANCELED)
		return;
	look(fs);
	io_poll(fs->config.io, &events->readable, events->fd, POLLIN, on_readable);
}

int fs_op_events(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	const struct fs_events_in *in = FS_BODY(call, struct fs_events_in);
	struct fs_events *events = fs->events;
	size_t size;

	(void)node;
	if (!events)
		return -ENOSYS;
	if (in->stop) {
		fs_events_interrupt(fs);
		return 0;
	}
	if (events->waiting)
		return -EBUSY;
	size = fill(fs, fs->answer);
	if (size > 0)
		return (int)size;
	events->waiting = call;
	return FS_PENDING;
}

/* ---- life ---- */

void fs_events_interrupt(struct fs *fs)
{
	struct fs_call *call = fs->events ? fs->events->waiting : NULL;

	if (!call)
		return;
	fs->events->waiting = NULL;
	fs_finish(call, 0);
}

void fs_events_reset(struct fs *fs)
{
	struct fs_events *events = fs->events;

	if (!events)
		return;
	events->size = events->last = 0;
	events->lost = false;
	fs_own_clear(fs);
}

int fs_events_create(struct fs *fs)
{
	struct fs_events *events = calloc(1, sizeof *events);

	if (!events)
		return -ENOMEM;
	fs->events = events;
	events->fs = fs;
	events->turn_end.run = end_turn;
	events->fd = (int)SYS(inotify_init1, IN_CLOEXEC | IN_NONBLOCK);
	if (events->fd < 0)
		return events->fd;
	io_poll(fs->config.io, &events->readable, events->fd, POLLIN, on_readable);
	return 0;
}

void fs_events_destroy(struct fs *fs)
{
	struct fs_events *events = fs->events;

	if (!events)
		return;
	(void)io_cancel_wait(&events->readable);
	io_defer_cancel(fs->config.io, &events->turn_end);
	close_fd(&events->fd);
	free(events->watches);
	free(events);
	fs->events = NULL;
}

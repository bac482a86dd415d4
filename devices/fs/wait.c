/*
 * Requests that wait for what others have to do: give back a lock, or a lease of a file that is to
 * be opened. The host tells of neither, so they are tried again: at once when the guest itself
 * gives something back, and otherwise at growing intervals.
 */
#include "base/container_of.h"
#include "devices/fs/fs_private.h"

enum { FIRST_WAIT_MS = 1, LONGEST_WAIT_MS = 50, REST = 7 };
static const uint64_t MS = 1000000;

void fs_wait_retry(struct fs *fs)
{
	for (struct fs_call **at = &fs->waiters; *at;) {
		struct fs_call *call = *at;
		int r = fs->ready ? call->work(call) : -EINTR;

		if (r == -EAGAIN) {
			at = &call->next;
			continue;
		}
		*at = call->next;
		fs_finish(call, r);
		at = &fs->waiters; /* what was finished may have changed the list */
	}
}

static bool finish_waiting(struct fs *fs, uint64_t unique)
{
	for (struct fs_call **at = &fs->waiters; *at; at = &(*at)->next) {
		struct fs_call *call = *at;

		if (unique != 0 && call->in.unique != unique)
			continue;
		*at = call->next;
		fs_finish(call, -EINTR);
		return true;
	}
	return false;
}

void fs_wait_interrupt_all(struct fs *fs)
{
	while (finish_waiting(fs, 0))
		;
}

void fs_wait_forget_interrupts(struct fs *fs)
{
	memset(fs->early_interrupts, 0, sizeof fs->early_interrupts);
}

static bool was_interrupted(const struct fs *fs, uint64_t unique)
{
	for (unsigned i = 0; i < FS_EARLY_INTERRUPTS; i++)
		if (fs->early_interrupts[i] == unique)
			return true;
	return false;
}

static void start_timer(struct fs *fs);

static void time_is_up(struct io_op *op, int result)
{
	struct fs *fs = container_of(op, struct fs, wait_timer);
	uint64_t begin = sys_monotonic_ns();

	if (result < 0)
		return;
	fs_wait_retry(fs);
	fs->retry_ns = sys_monotonic_ns() - begin;
	start_timer(fs);
}

static void start_timer(struct fs *fs)
{
	uint64_t newest = 0, wait;

	if (!fs->waiters || io_is_busy(&fs->wait_timer))
		return;
	for (const struct fs_call *call = fs->waiters; call; call = call->next)
		if (call->started_ns > newest)
			newest = call->started_ns;
	wait = (sys_monotonic_ns() - newest) / 4;
	if (wait < FIRST_WAIT_MS * MS)
		wait = FIRST_WAIT_MS * MS;
	if (wait > LONGEST_WAIT_MS * MS)
		wait = LONGEST_WAIT_MS * MS;
	if (wait < REST * fs->retry_ns) /* when many wait: the thread is for others, too */
		wait = REST * fs->retry_ns;
	io_timer(fs->config.io, &fs->wait_timer, wait, time_is_up);
}

/* Behind all others; NULL: there are too many. */
static struct fs_call **last_place(struct fs *fs)
{
	struct fs_call **at = &fs->waiters;
	unsigned count = 0;

	for (; *at; at = &(*at)->next)
		count++;
	if (count < FS_MAX_WAITING)
		return at;
	log_guest(&fs->limit, LOG_LEVEL_WARNING,
		  "no more than %d processes of the guest may wait for locks and leases of a share "
		  "at a time",
		  FS_MAX_WAITING);
	return NULL;
}

int fs_wait(struct fs_call *call, int (*again)(struct fs_call *call))
{
	struct fs *fs = call->fs;
	struct fs_call **place;

	if (was_interrupted(fs, call->in.unique))
		return -EINTR;
	place = last_place(fs);
	if (!place)
		return -EAGAIN;
	if (call->handle)
		fs_handle_hold(call->handle);
	call->work = again;
	call->started_ns = sys_monotonic_ns();
	call->next = NULL;
	*place = call;
	start_timer(fs);
	return FS_PENDING;
}

/* Comes by a queue of its own, so that it may be here before the request that it is about. */
int fs_op_interrupt(struct fs *fs, struct fs_call *call, struct fs_node *node)
{
	uint64_t unique = FS_BODY(call, struct fuse_interrupt_in)->unique;

	(void)node;
	if (unique != 0 && !finish_waiting(fs, unique))
		fs->early_interrupts[fs->early_interrupt_count++ % FS_EARLY_INTERRUPTS] = unique;
	return 0;
}

#include "runtime/image/transfer_private.h"

#include "base/own.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { MAX_RUNNING = 4, MAX_FAILURES = 6, MAX_TRIES = 60, LOCK_POLL_MS = 200 };

int transfers_init(struct transfers *transfers, struct session *session, const struct store *store,
		   struct progress *progress, size_t count, struct error *err)
{
	*transfers = (struct transfers){ .session = session, .store = store, .progress = progress };
	transfers->multi = session->curl->multi_init();
	transfers->items = calloc(count ? count : 1, sizeof *transfers->items);
	if (!transfers->multi || !transfers->items) {
		transfers_finish(transfers);
		return error_set(err, -ENOMEM, "out of memory");
	}
	transfers->count = count;
	for (size_t i = 0; i < count; i++)
		transfers->items[i] = (struct transfer){ .owner = transfers, .file = -1 };
	return 0;
}

static void stop(struct transfer *item)
{
	const struct lib_curl *curl;

	if (!item->owner) /* not set up yet */
		return;
	curl = item->owner->session->curl;
	if (item->easy) {
		(void)curl->multi_remove(item->owner->multi, item->easy);
		curl->easy_cleanup(item->easy);
		item->easy = NULL;
	}
	curl->slist_free(item->headers);
	item->headers = NULL;
	response_finish(&item->response);
}

static void close_file(struct transfer *item)
{
	digester_finish(&item->digester);
	if (item->file >= 0)
		(void)close(item->file);
	item->file = -1;
}

void transfers_finish(struct transfers *transfers)
{
	for (size_t i = 0; transfers->items && i < transfers->count; i++) {
		stop(&transfers->items[i]);
		close_file(&transfers->items[i]);
	}
	if (transfers->multi)
		(void)transfers->session->curl->multi_cleanup(transfers->multi);
	free(transfers->items);
	*transfers = (struct transfers){ 0 };
}

void transfer_file_name(const struct transfer *item, const char *kind, char out[STORE_NAME_SIZE])
{
	(void)snprintf(out, STORE_NAME_SIZE, "%s-%s", kind, digest_hex(item->digest));
}

/* The bytes that are shown: those of this try replace those of an earlier one. */
void transfer_count(struct transfer *item)
{
	item->owner->progress->done_bytes += item->have - item->counted;
	item->counted = item->have;
	progress_update(item->owner->progress);
}

static int fail(struct transfer *item, int code)
{
	if (code == -ENOSPC || code == -EDQUOT)
		return error_set(&item->err, -ENOSPC, "the disk of %s is full",
				 item->owner->store->root);
	return error_set(&item->err, code, "download %.19s…: %s", item->digest, sys_text(code));
}

static void give_up(struct transfer *item)
{
	char name[STORE_NAME_SIZE];

	/* What cannot be used is not kept; what can be resumed is, unless room is what lacks. */
	if (item->file >= 0 && (item->err.code == -ENOSPC || item->err.code == -EBADMSG)) {
		transfer_file_name(item, "part", name);
		store_temp_remove(item->owner->store, name);
	}
	stop(item);
	close_file(item);
	item->state = TRANSFER_FAILED;
}

/* The part became whole: verified, renamed, and kept with a shared lock. */
static int complete(struct transfer *item)
{
	const struct store *store = item->owner->store;
	char digest[IMAGE_DIGEST_SIZE], from[STORE_NAME_SIZE], to[STORE_NAME_SIZE];
	int r = digester_end(&item->digester, digest);

	if (r < 0)
		return fail(item, r);
	if (strcmp(digest, item->digest) != 0)
		return error_set(&item->err, -EBADMSG,
				 "what %s sends as %.19s… has another digest: it is damaged",
				 item->owner->session->registry, item->digest);
	digester_finish(&item->digester);
	transfer_file_name(item, "part", from);
	transfer_file_name(item, "blob", to);
	r = (int)SYS(renameat, store->tmp_fd, from, store->tmp_fd, to);
	if (r == 0)
		r = (int)SYS_RETRY(flock, item->file, LOCK_SH);
	if (r < 0)
		return fail(item, r);
	stop(item);
	item->state = TRANSFER_DONE;
	progress_event(item->owner->progress, "layer", item->digest, "downloaded");
	return 0;
}

/* Someone else has downloaded it, now or before being killed. 1: it is there and right. */
static int take_blob(struct transfer *item)
{
	char name[STORE_NAME_SIZE], digest[IMAGE_DIGEST_SIZE];
	uint64_t size = 0;
	int r;

	transfer_file_name(item, "blob", name);
	own_fd fd =
	    (int)SYS(openat, item->owner->store->tmp_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || SYS_RETRY(flock, fd, LOCK_SH) < 0)
		return 0;
	r = digest_file(fd, digest, &size, &item->err);
	if (r < 0)
		return r;
	if (size != item->size || strcmp(digest, item->digest) != 0) { /* lost by a power cut */
		store_temp_remove(item->owner->store, name);
		return 0;
	}
	item->file = take_fd(&fd);
	item->have = size;
	transfer_count(item);
	item->state = TRANSFER_DONE;
	return 1;
}

/* What an earlier try left counts, once it is in the digest. */
static int resume(struct transfer *item)
{
	own_mem char *chunk = malloc(CHUNK);
	struct stat status;
	long n = 1;
	int r;

	digester_finish(&item->digester);
	r = chunk ? digester_init(&item->digester, &item->err) : -ENOMEM;
	if (r == 0)
		r = (int)SYS(fstat, item->file, &status);
	if (r == 0 && (uint64_t)status.st_size > item->size) {
		r = (int)SYS(ftruncate, item->file, 0);
		status.st_size = 0;
	}
	item->have = 0;
	while (r == 0 && item->have < (uint64_t)status.st_size && n > 0) {
		n = SYS_RETRY(pread, item->file, chunk, CHUNK, (off_t)item->have);
		if (n < 0)
			r = (int)n;
		else
			r = digester_add(&item->digester, chunk, (size_t)n);
		item->have += n > 0 ? (uint64_t)n : 0;
	}
	if (r < 0)
		return fail(item, r);
	item->resumed_at = item->have;
	item->was_resumed = item->have > 0;
	transfer_count(item);
	return 0;
}

/* Gets the part's lock; 0 when someone else has it. */
static int take_part(struct transfer *item)
{
	struct image_layer layer;
	char name[STORE_NAME_SIZE];
	int r = take_blob(item);

	if (r != 0)
		return r;
	transfer_file_name(item, "part", name);
	r = store_temp(item->owner->store, name, false, &item->file, &item->err);
	if (r < 0) {
		item->file = -1;
		return r == -EAGAIN ? 0 : r;
	}
	/* whoever had the lock before may have finished the blob, or the whole layer */
	r = store_open_layer(item->owner->store, item->object, &layer, &item->err);
	if (r == 0) {
		(void)close(layer.fd);
		store_temp_remove(item->owner->store, name);
		close_file(item);
		item->state = TRANSFER_NEEDLESS;
		return 1;
	}
	if (r != -ENOENT)
		return r;
	own_fd part = item->file;

	item->file = -1;
	r = take_blob(item);
	if (r != 0) {
		store_temp_remove(item->owner->store, name);
		return r;
	}
	item->file = take_fd(&part);
	r = resume(item);
	return r < 0 ? r : 2;
}

/* What was resumed is not what it should be: without it. 0, or negative with item->err set. */
static int forget_part(struct transfer *item)
{
	int r = (int)SYS(ftruncate, item->file, 0);

	item->err = (struct error){ 0 };
	return r < 0 ? fail(item, r) : 0;
}

static void start(struct transfer *item)
{
	int r = item->file >= 0 ? 2 : take_part(item);

	if (r == 0)
		item->retry_ns = sys_monotonic_ns() + LOCK_POLL_MS * UINT64_C(1000000);
	if (r == 2) {
		item->tries++;
		r = item->have == item->size ? complete(item) : transfer_request(item);
		/* nothing came from the registry that could be its fault */
		if (r == -EBADMSG && item->was_resumed) {
			r = forget_part(item);
			if (r == 0)
				r = resume(item);
			if (r == 0)
				r = transfer_request(item);
		}
	}
	if (r < 0)
		give_up(item);
}

/* A request ended: go on, try again, or give up. */
static void settle(struct transfer *item, CURLcode code)
{
	const struct session *session = item->owner->session;
	bool is_digest_wrong = false;
	long status = 0;
	int r = 0;

	(void)session->curl->easy_getinfo(item->easy, CURLINFO_RESPONSE_CODE, &status);
	if (item->err.code == 0 && code == CURLE_OK && item->is_accepted &&
	    item->have == item->size) {
		r = complete(item);
		is_digest_wrong = r == -EBADMSG;
		if (r == 0)
			return;
	}
	r = transfer_judge(item, code, status);
	stop(item);
	/* perhaps only what an earlier katavm left was damaged: once more from the start */
	if (is_digest_wrong && item->was_resumed) {
		r = forget_part(item);
		r = r < 0 ? r : 1;
	}
	if (item->have > item->resumed_at)
		item->failures = 0;
	if (r == 1 && ++item->failures <= MAX_FAILURES && item->tries < MAX_TRIES) {
		r = resume(item);
		item->retry_ns =
		    sys_monotonic_ns() + session_delay_ms(item->failures - 1) * UINT64_C(1000000);
		item->state = TRANSFER_PAUSED;
	} else if (r == 1) {
		r = error_set(&item->err, -EIO, "%s breaks off again and again (%s)",
			      session->registry,
			      code == CURLE_OK ? "the answer ends early"
					       : session->curl->easy_strerror(code));
	}
	if (r < 0)
		give_up(item);
}

static unsigned running(const struct transfers *transfers)
{
	unsigned count = 0;

	for (size_t i = 0; i < transfers->count; i++)
		count += transfers->items[i].state == TRANSFER_RUNNING;
	return count;
}

static void start_due(struct transfers *transfers)
{
	uint64_t now = sys_monotonic_ns();

	for (size_t i = 0; i < transfers->count && running(transfers) < MAX_RUNNING; i++) {
		struct transfer *item = &transfers->items[i];

		if ((item->state == TRANSFER_QUEUED || item->state == TRANSFER_PAUSED) &&
		    item->retry_ns <= now)
			start(item);
	}
}

int transfers_pump(struct transfers *transfers, int timeout_ms, struct error *err)
{
	const struct lib_curl *curl = transfers->session->curl;
	int left, active;
	CURLMsg *message;

	start_due(transfers);
	(void)curl->multi_perform(transfers->multi, &active);
	while ((message = curl->multi_info_read(transfers->multi, &left))) {
		char *private = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		settle((struct transfer *)(void *)private, message->data.result);
		timeout_ms = 0;
	}
	if (timeout_ms > 0)
		(void)curl->multi_poll(transfers->multi, NULL, 0, timeout_ms, &left);
	progress_update(transfers->progress);
	for (size_t i = 0; i < transfers->count; i++) {
		if (transfers->items[i].state != TRANSFER_FAILED)
			continue;
		if (err)
			*err = transfers->items[i].err;
		return transfers->items[i].err.code < 0 ? transfers->items[i].err.code : -EIO;
	}
	return 0;
}

int transfers_wait(struct transfers *transfers, size_t index, int *fd, struct error *err)
{
	struct transfer *item = &transfers->items[index];
	char path[64];
	int r;

	if (item->state == TRANSFER_IDLE)
		item->state = TRANSFER_QUEUED;
	while (item->state != TRANSFER_DONE && item->state != TRANSFER_NEEDLESS) {
		r = transfers_pump(transfers, LOCK_POLL_MS, err);
		if (r < 0)
			return r;
	}
	if (item->state == TRANSFER_NEEDLESS) {
		item->state = TRANSFER_IDLE; /* fetched after all if it is asked for again */
		return -EALREADY;
	}
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", item->file);
	r = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	if (r < 0)
		return error_set(err, r, "open a download: %s", sys_text(r));
	*fd = r;
	return 0;
}

void transfers_drop(struct transfers *transfers, size_t index)
{
	struct transfer *item = &transfers->items[index];
	char name[STORE_NAME_SIZE];

	if (item->state != TRANSFER_DONE)
		return;
	transfer_file_name(item, "blob", name);
	store_temp_remove(transfers->store, name);
	close_file(item);
	item->state = TRANSFER_IDLE;
}

void transfers_clean(const struct transfers *transfers)
{
	static const char *const kinds[] = { "part", "blob" };
	char name[STORE_NAME_SIZE];

	for (size_t i = 0; i < transfers->count; i++) {
		if (!transfers->items[i].digest[0])
			continue;
		for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
			transfer_file_name(&transfers->items[i], kinds[k], name);
			(void)store_temp_clean(transfers->store, name);
		}
	}
}

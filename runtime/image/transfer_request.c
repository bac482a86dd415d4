#include "runtime/image/transfer_private.h"

#include "base/sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REFUSAL_MAX = 4096 };

/* The first bytes of an answer: is it what was asked for, and from where? */
static int accept_answer(struct transfer *item)
{
	struct session *session = item->owner->session;
	long status = 0;

	(void)session->curl->easy_getinfo(item->easy, CURLINFO_RESPONSE_CODE, &status);
	/* the login was good; that it becomes old later, in a long transfer, is nobody's fault */
	if (status == 200 || status == 206) {
		item->is_logged_in = false;
		session->logins = 0;
	}
	if (status == 206 && item->is_ranged) {
		item->is_accepted = true;
		return 0;
	}
	if (status != 200)
		return 0; /* a refusal: its text is kept for the sentence */
	item->is_accepted = true;
	if (!item->is_ranged)
		return 0;
	/* the server knows no ranges, and starts again */
	digester_finish(&item->digester);
	item->have = item->resumed_at = 0;
	transfer_count(item);
	if (SYS(ftruncate, item->file, 0) < 0)
		return -EIO;
	return digester_init(&item->digester, &item->err);
}

static size_t keep_refusal(struct transfer *item, const char *data, size_t size)
{
	struct response *response = &item->response;

	if (!response->body)
		response->body = calloc(1, REFUSAL_MAX + 1);
	if (response->body && size <= REFUSAL_MAX - response->size) {
		memcpy(response->body + response->size, data, size);
		response->size += size;
	}
	return size;
}

static size_t take_data(char *data, size_t size, size_t count, void *context)
{
	struct transfer *item = context;
	size_t bytes = size * count;
	int r = item->is_accepted ? 0 : accept_answer(item);

	if (r == 0 && !item->is_accepted)
		return keep_refusal(item, data, bytes);
	if (r == 0 && bytes > item->size - item->have) {
		(void)error_set(&item->err, -EBADMSG,
				"%s sends more for %.19s… than its manifest says",
				item->owner->session->registry, item->digest);
		return 0;
	}
	if (r == 0)
		r = sys_pwrite_all(item->file, data, bytes, item->have);
	if (r == 0)
		r = digester_add(&item->digester, data, bytes);
	if (r < 0) {
		if (r == -ENOSPC || r == -EDQUOT)
			(void)error_set(&item->err, -ENOSPC, "the disk of %s is full",
					item->owner->store->root);
		else
			(void)error_set(&item->err, r, "keep a download: %s", sys_text(r));
		return 0;
	}
	item->have += bytes;
	transfer_count(item);
	return bytes;
}

int transfer_request(struct transfer *item)
{
	const struct transfers *transfers = item->owner;
	const struct lib_curl *curl = transfers->session->curl;
	char path[IMAGE_DIGEST_SIZE + 16], range[32];

	item->easy = curl->easy_init();
	if (!item->easy)
		return error_set(&item->err, -ENOMEM, "out of memory");
	(void)snprintf(path, sizeof path, "blobs/%s", item->digest);
	(void)session_prepare(transfers->session, item->easy, path, NULL, &item->headers);
	item->is_ranged = item->have > 0;
	item->is_accepted = false;
	item->resumed_at = item->have;
	if (item->is_ranged) {
		(void)snprintf(range, sizeof range, "%llu-", (unsigned long long)item->have);
		(void)curl->easy_setopt(item->easy, CURLOPT_RANGE, range);
	}
	(void)curl->easy_setopt(item->easy, CURLOPT_WRITEFUNCTION, take_data);
	(void)curl->easy_setopt(item->easy, CURLOPT_WRITEDATA, item);
	(void)curl->easy_setopt(item->easy, CURLOPT_HEADERFUNCTION, response_header);
	(void)curl->easy_setopt(item->easy, CURLOPT_HEADERDATA, &item->response);
	(void)curl->easy_setopt(item->easy, CURLOPT_ERRORBUFFER, item->response.said);
	(void)curl->easy_setopt(item->easy, CURLOPT_PRIVATE, item);
	if (curl->multi_add(transfers->multi, item->easy) != CURLM_OK)
		return error_set(&item->err, -ENOMEM, "start a download");
	item->state = TRANSFER_RUNNING;
	return 0;
}

int transfer_judge(struct transfer *item, CURLcode code, long status)
{
	struct session *session = item->owner->session;
	char what[48];

	if (item->err.code < 0)
		return item->err.code;
	if (code == CURLE_OK && status == 401 && !item->is_logged_in) { /* the token became old */
		int r = session_login(session, item->response.challenge, &item->err);

		item->is_logged_in = true;
		return r < 0 ? r : 1;
	}
	if (status == 416 && item->is_ranged)
		return SYS(ftruncate, item->file, 0) < 0
			   ? error_set(&item->err, -EIO, "start a download again")
			   : 1;
	if (code == CURLE_OK && item->is_accepted)
		return error_set(&item->err, -EBADMSG,
				 "layer %.19s… is truncated at %s: %llu bytes of %llu",
				 item->digest, session->registry, (unsigned long long)item->have,
				 (unsigned long long)item->size);
	if (session_is_transient(code, status))
		return 1;
	(void)snprintf(what, sizeof what, "layer %.19s…", item->digest);
	if (code == CURLE_OK)
		return session_refusal(session, what, status, item->response.body,
				       item->response.size, &item->err);
	return error_set(&item->err, -EIO, "download %s from %s: %s", what, session->registry,
			 session_reason(session, code, &item->response));
}

#pragma once
#include "base/error.h"
#include <json-c/json.h>

/*
 * How other katavm processes talk to the one that runs a container: a socket beside its state file.
 * A connection carries one request and one answer, each a JSON text in one packet (SOCK_SEQPACKET):
 *
 *   {"method": "update", "parameters": {...}}
 *   {"result": ...}   or   {"error": "a sentence", "code": -EINVAL}
 *
 * Only the user who runs the container, and root, are served. One thread owns a struct monitor.
 */
enum { MONITOR_REQUEST_MAX = 64 << 10, MONITOR_ANSWER_MAX = 128 << 10 };

struct monitor;
struct monitor_request; /* one that waits for its answer */

struct monitor_method {
	const char *name; /* NULL: the end of the table */
	/* Answers now, or keeps the request and answers later; exactly once. parameters, a JSON
	 * object or NULL, is borrowed for the call. */
	void (*run)(void *context, struct monitor_request *request, struct json_object *parameters);
};

/* Listens at `path`, where a socket nobody listens at may be. */
int monitor_open(const char *path, const struct monitor_method *methods, void *context,
		 struct monitor **out, struct error *err);

/* Readable when monitor_process has something to do. Owned by monitor. */
int monitor_fd(const struct monitor *monitor);

/* Takes connections and requests; runs methods. Never blocks. */
void monitor_process(struct monitor *monitor);

/* Takes result, which may be NULL. A caller that is gone is no error. */
void monitor_answer(struct monitor_request *request, struct json_object *result);
void monitor_refuse(struct monitor_request *request, const struct error *why);

/* Removes the socket; who still waits for an answer sees the connection's end. Accepts NULL. */
void monitor_close(struct monitor *monitor);

/* How long to wait for a katavm, which may be stopped or hang: for what it knows by itself, for
 * what it asks its VMM, and for what the guest has a part in, where an update alone has half a
 * minute. */
enum { MONITOR_OWN_MS = 10000, MONITOR_VMM_MS = 20000, MONITOR_GUEST_MS = 120000 };

/* The caller's side. Blocks until the answer is here: *result is the caller's, NULL for none. The
 * refusal of the other side becomes the error. -ECONNREFUSED, -ENOENT: nobody listens there.
 * -ETIMEDOUT: there was no answer for timeout_ms; what was asked for may be done yet. */
int monitor_call(const char *path, const char *method, struct json_object *parameters,
		 int timeout_ms, struct json_object **result, struct error *err);

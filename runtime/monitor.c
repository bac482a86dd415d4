/*
 * Few callers at a time, each with one packet to say: a fixed number of connections, watched by an
 * epoll descriptor of their own so that the session's loop has one to wait for. A request that is
 * answered later keeps its slot; a caller that goes away meanwhile leaves the slot to the answer.
 */
#include "runtime/monitor.h"

#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CONNECTIONS = 16, BACKLOG = 16, EVENTS = 8 };

struct monitor_request {
	struct monitor *monitor;
	int fd;       /* < 0: free */
	bool waiting; /* a method has it */
};

struct monitor {
	const struct monitor_method *methods;
	void *context;
	int listen_fd, epoll_fd;
	bool full; /* nobody is accepted until a connection is free */
	struct sockaddr_un address;
	struct monitor_request requests[CONNECTIONS];
	char packet[MONITOR_REQUEST_MAX + 1];
};

static int make_address(const char *path, struct sockaddr_un *out, struct error *err)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof out->sun_path)
		return error_set(err, -ENAMETOOLONG, "the path %.150s is too long for a socket",
				 path);
	(void)snprintf(out->sun_path, sizeof out->sun_path, "%s", path);
	return 0;
}

static int watch(const struct monitor *monitor, int fd, void *what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

	return (int)SYS(epoll_ctl, monitor->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void watch_callers(struct monitor *monitor, bool wanted)
{
	struct epoll_event event = { .events = wanted ? EPOLLIN : 0, .data.ptr = NULL };

	monitor->full = !wanted;
	(void)SYS(epoll_ctl, monitor->epoll_fd, EPOLL_CTL_MOD, monitor->listen_fd, &event);
}

static int start_listening(struct monitor *monitor)
{
	const struct sockaddr *address = (const struct sockaddr *)&monitor->address;
	int fd = (int)SYS(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	    result;

	if (fd < 0)
		return fd;
	monitor->listen_fd = fd;
	result = (int)SYS(bind, fd, address, sizeof monitor->address);
	if (result == -EADDRINUSE) { /* of a katavm that was killed: ids do not come twice */
		(void)SYS(unlink, monitor->address.sun_path);
		result = (int)SYS(bind, fd, address, sizeof monitor->address);
	}
	if (result == 0)
		result = (int)SYS(listen, fd, BACKLOG);
	if (result == 0)
		result = (int)SYS(epoll_create1, EPOLL_CLOEXEC);
	if (result < 0)
		return result;
	monitor->epoll_fd = result;
	return watch(monitor, fd, NULL);
}

int monitor_open(const char *path, const struct monitor_method *methods, void *context,
		 struct monitor **out, struct error *err)
{
	struct monitor *monitor = calloc(1, sizeof *monitor);
	int result;

	if (!monitor)
		return error_set(err, -ENOMEM, "no memory for the control socket");
	monitor->methods = methods;
	monitor->context = context;
	monitor->listen_fd = monitor->epoll_fd = -1;
	for (size_t i = 0; i < CONNECTIONS; i++)
		monitor->requests[i] = (struct monitor_request){ .monitor = monitor, .fd = -1 };
	result = make_address(path, &monitor->address, err);
	if (result == 0) {
		result = start_listening(monitor);
		if (result < 0)
			(void)error_set(err, result, "listen at %.150s: %s", path,
					sys_text(result));
	}
	if (result < 0)
		monitor_close(monitor);
	else
		*out = monitor;
	return result;
}

int monitor_fd(const struct monitor *monitor)
{
	return monitor->epoll_fd;
}

/* --- answers --- */

static void hang_up(struct monitor_request *request)
{
	close_fd(&request->fd); /* which also takes it out of the epoll set */
	request->waiting = false;
	if (request->monitor->full)
		watch_callers(request->monitor, true);
}

static void send_answer(struct monitor_request *request, struct json_object *answer)
{
	size_t size;
	const char *text = json_object_to_json_string_length(answer, JSON_C_TO_STRING_PLAIN, &size);

	if (size <= MONITOR_ANSWER_MAX)
		(void)SYS_RETRY(send, request->fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)json_object_put(answer);
	hang_up(request);
}

void monitor_answer(struct monitor_request *request, struct json_object *result)
{
	struct json_object *answer = json_object_new_object();

	(void)json_object_object_add(answer, "result", result);
	send_answer(request, answer);
}

void monitor_refuse(struct monitor_request *request, const struct error *why)
{
	struct json_object *answer = json_object_new_object();

	(void)json_object_object_add(answer, "error", json_object_new_string(why->text));
	(void)json_object_object_add(answer, "code", json_object_new_int(why->code));
	send_answer(request, answer);
}

/* --- requests --- */

static void refuse(struct monitor_request *request, int code, const char *text)
{
	struct error why;

	(void)error_set(&why, code, "%s", text);
	monitor_refuse(request, &why);
}

static void run_method(struct monitor_request *request, const char *name,
		       struct json_object *parameters)
{
	const struct monitor *monitor = request->monitor;

	for (const struct monitor_method *at = monitor->methods; at->name; at++) {
		if (strcmp(at->name, name) == 0) {
			request->waiting = true;
			at->run(monitor->context, request, parameters);
			return;
		}
	}
	refuse(request, -ENOSYS,
	       "the container's katavm is of another version: it does not know "
	       "this request");
}

static void take_request(struct monitor_request *request, const char *text)
{
	struct json_object *top = json_tokener_parse(text), *method = NULL, *parameters = NULL;

	(void)json_object_object_get_ex(top, "method", &method);
	(void)json_object_object_get_ex(top, "parameters", &parameters);
	if (!json_object_is_type(method, json_type_string) ||
	    (parameters && !json_object_is_type(parameters, json_type_object)))
		refuse(request, -EPROTO, "this is not a request");
	else
		run_method(request, json_object_get_string(method), parameters);
	(void)json_object_put(top);
}

static void read_request(struct monitor_request *request)
{
	char *packet = request->monitor->packet;
	struct iovec into = { .iov_base = packet, .iov_len = MONITOR_REQUEST_MAX };
	struct msghdr header = { .msg_iov = &into, .msg_iovlen = 1 };
	long size = SYS_RETRY(recvmsg, request->fd, &header, MSG_DONTWAIT);

	if (size == -EAGAIN)
		return;
	if (size <= 0 && request->waiting) { /* its slot is the answer's to free */
		(void)SYS(epoll_ctl, request->monitor->epoll_fd, EPOLL_CTL_DEL, request->fd, NULL);
	} else if (size <= 0) {
		hang_up(request);
	} else if (request->waiting || header.msg_flags & MSG_TRUNC) {
		/* a second request is not in the protocol, and not worth an end of the first */
		if (!request->waiting)
			refuse(request, -EMSGSIZE, "the request is too long");
	} else {
		packet[size] = '\0';
		take_request(request, packet);
	}
}

static bool may_ask(int fd)
{
	struct ucred caller;
	socklen_t size = sizeof caller;

	return SYS(getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &caller, &size) == 0 &&
	       (caller.uid == 0 || caller.uid == geteuid());
}

static void take_caller(struct monitor *monitor)
{
	struct monitor_request *request = monitor->requests;
	const struct monitor_request *end = request + CONNECTIONS;
	int fd;

	while (request < end && request->fd >= 0)
		request++;
	if (request == end) {
		watch_callers(monitor, false);
		return;
	}
	fd = (int)SYS_RETRY(accept4, monitor->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (may_ask(fd) && watch(monitor, fd, request) == 0)
		request->fd = fd;
	else
		(void)close(fd);
}

void monitor_process(struct monitor *monitor)
{
	struct epoll_event events[EVENTS];
	long count = SYS(epoll_wait, monitor->epoll_fd, events, EVENTS, 0);

	for (long i = 0; i < count; i++) {
		struct monitor_request *request = events[i].data.ptr;

		if (!request)
			take_caller(monitor);
		else if (request->fd >= 0)
			read_request(request);
	}
}

void monitor_close(struct monitor *monitor)
{
	if (!monitor)
		return;
	if (monitor->epoll_fd >= 0)
		(void)SYS(unlink, monitor->address.sun_path);
	for (size_t i = 0; i < CONNECTIONS; i++)
		own_fd_release(&monitor->requests[i].fd);
	own_fd_release(&monitor->listen_fd);
	own_fd_release(&monitor->epoll_fd);
	free(monitor);
}

/* --- the caller's side --- */

/* Of each step: a connection waits too, where many wait for the same katavm. */
static int limit(int fd, int timeout_ms)
{
	const struct timeval time = { .tv_sec = timeout_ms / 1000,
				      .tv_usec = timeout_ms % 1000 * 1000L };
	int r = (int)SYS(setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);

	return r < 0 ? r : (int)SYS(setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

static int exchange(const char *path, const char *text, int timeout_ms, char *answer,
		    struct error *err)
{
	own_fd fd = (int)SYS(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	long result = fd < 0 ? fd : make_address(path, &address, err);

	if (result < 0)
		return fd < 0 ? error_set(err, fd, "make a socket: %s", sys_text(fd)) : (int)result;
	result = limit(fd, timeout_ms);
	if (result == 0)
		result = SYS_RETRY(connect, fd, (const struct sockaddr *)&address, sizeof address);
	if (result == 0)
		result = SYS_RETRY(send, fd, text, strlen(text), MSG_NOSIGNAL);
	if (result >= 0)
		result = SYS_RETRY(recv, fd, answer, MONITOR_ANSWER_MAX, 0);
	if (result == -EAGAIN)
		return error_set(err, -ETIMEDOUT,
				 "the container's katavm does not answer: it may be stopped");
	if (result == 0)
		return error_set(err, -EPIPE, "the container ended before it answered");
	if (result < 0)
		return error_set(err, (int)result, "ask the container's katavm (%.120s): %s", path,
				 sys_text((int)result));
	answer[result] = '\0';
	return 0;
}

static int judge(const char *text, struct json_object **result, struct error *err)
{
	struct json_object *top = json_tokener_parse(text), *refusal = NULL, *code = NULL,
			   *value = NULL;
	int r = 0;

	if (json_object_object_get_ex(top, "error", &refusal)) {
		(void)json_object_object_get_ex(top, "code", &code);
		r = json_object_get_int(code);
		r = error_set(err, r < 0 ? r : -EIO, "%.200s", json_object_get_string(refusal));
	} else if (json_object_object_get_ex(top, "result", &value)) {
		*result = json_object_get(value);
	} else {
		r = error_set(err, -EPROTO,
			      "the container's katavm gave no answer that makes "
			      "sense");
	}
	(void)json_object_put(top);
	return r;
}

int monitor_call(const char *path, const char *method, struct json_object *parameters,
		 int timeout_ms, struct json_object **result, struct error *err)
{
	struct json_object *top = json_object_new_object();
	own_mem char *answer = malloc(MONITOR_ANSWER_MAX + 1);
	int r;

	(void)json_object_object_add(top, "method", json_object_new_string(method));
	if (parameters)
		(void)json_object_object_add(top, "parameters", json_object_get(parameters));
	r = answer ? exchange(path, json_object_to_json_string_ext(top, JSON_C_TO_STRING_PLAIN),
			      timeout_ms, answer, err)
		   : error_set(err, -ENOMEM, "no memory for an answer");
	(void)json_object_put(top);
	return r < 0 ? r : judge(answer, result, err);
}

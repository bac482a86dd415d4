#include "base/sys.h"
#include "runtime/monitor.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char path[108];
static struct monitor *monitor;
static struct monitor_request *kept;
static bool stop;
static pthread_t server;
static struct error err;

static void echo(void *context, struct monitor_request *request, struct json_object *parameters)
{
	(void)context;
	monitor_answer(request, json_object_get(parameters));
}

static void keep(void *context, struct monitor_request *request, struct json_object *parameters)
{
	(void)context;
	(void)parameters;
	kept = request;
}

static void release(void *context, struct monitor_request *request, struct json_object *parameters)
{
	(void)context;
	(void)parameters;
	monitor_answer(kept, json_object_new_string("late"));
	monitor_answer(request, NULL);
}

static void refuse(void *context, struct monitor_request *request, struct json_object *parameters)
{
	struct error why;

	(void)context;
	(void)parameters;
	(void)error_set(&why, -EBUSY, "it is busy");
	monitor_refuse(request, &why);
}

static const struct monitor_method methods[] = {
	{ "echo", echo }, { "keep", keep }, { "release", release }, { "refuse", refuse }, { 0 },
};

static void *serve(void *argument)
{
	(void)argument;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		struct pollfd ready = { .fd = monitor_fd(monitor), .events = POLLIN };

		if (poll(&ready, 1, 20) > 0)
			monitor_process(monitor);
	}
	return NULL;
}

static void set_up(void)
{
	(void)snprintf(path, sizeof path, "/tmp/test-monitor.%d.%p", getpid(), (void *)&err);
	cr_assert_eq(monitor_open(path, methods, NULL, &monitor, &err), 0, "%s", err.text);
	stop = false;
	cr_assert_eq(pthread_create(&server, NULL, serve, NULL), 0);
}

static void tear_down(void)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	(void)pthread_join(server, NULL);
	monitor_close(monitor);
}

static int caller(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)strcpy(address.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/* One raw packet; its answer, "" when the connection ended instead. */
static const char *raw(const void *packet, size_t size)
{
	static char answer[1024];
	int fd = caller();
	ssize_t got;

	(void)!send(fd, packet, size, MSG_NOSIGNAL);
	got = recv(fd, answer, sizeof answer - 1, 0);
	answer[got > 0 ? got : 0] = '\0';
	(void)close(fd);
	return answer;
}

TestSuite(monitor, .init = set_up, .fini = tear_down, .timeout = 60);

Test(monitor, answers_with_what_the_method_says)
{
	struct json_object *parameters = json_tokener_parse("{\"a\": [1, \"two\"]}"),
			   *result = NULL;

	cr_assert_eq(monitor_call(path, "echo", parameters, MONITOR_OWN_MS, &result, &err), 0, "%s",
		     err.text);
	cr_assert_str_eq(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN),
			 "{\"a\":[1,\"two\"]}");
	(void)json_object_put(parameters);
	(void)json_object_put(result);
}

Test(monitor, a_refusal_is_the_callers_error)
{
	struct json_object *result = NULL;

	cr_assert_eq(monitor_call(path, "refuse", NULL, MONITOR_OWN_MS, &result, &err), -EBUSY);
	cr_assert_str_eq(err.text, "it is busy");
	cr_assert_null(result);
}

Test(monitor, an_unknown_method_is_refused)
{
	struct json_object *result = NULL;

	cr_assert_eq(monitor_call(path, "fly", NULL, MONITOR_OWN_MS, &result, &err), -ENOSYS);
}

Test(monitor, what_is_no_request_is_refused_and_others_are_served)
{
	static char long_packet[MONITOR_REQUEST_MAX + 10];
	static const char *const bad[] = { "",
					   "x",
					   "[]",
					   "{}",
					   "{\"method\":1}",
					   "\"method\"",
					   "{\"method\":\"echo\",\"parameters\":[]}" };

	for (size_t i = 1; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect(strstr(raw(bad[i], strlen(bad[i])), "not a request"), "%s", bad[i]);
	cr_expect_str_eq(raw("", 0), "");
	(void)memset(long_packet, 'x', sizeof long_packet);
	cr_expect(strstr(raw(long_packet, sizeof long_packet), "too long"));
	cr_expect_str_eq(raw("{\"method\":\"echo\"}", 17), "{\"result\":null}");
}

Test(monitor, an_answer_may_come_later)
{
	static const char request[] = "{\"method\":\"keep\"}";
	struct json_object *result = NULL;
	char answer[64] = { 0 };
	int fd = caller();

	cr_assert_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	while (!__atomic_load_n(&kept, __ATOMIC_ACQUIRE))
		(void)usleep(1000);
	cr_assert_eq(monitor_call(path, "release", NULL, MONITOR_OWN_MS, &result, &err), 0, "%s",
		     err.text);
	cr_assert_gt(recv(fd, answer, sizeof answer - 1, 0), 0);
	cr_assert_str_eq(answer, "{\"result\":\"late\"}");
	(void)close(fd);
}

Test(monitor, a_caller_that_is_gone_harms_nobody)
{
	static const char request[] = "{\"method\":\"keep\"}";
	struct json_object *result = NULL;
	int fd = caller();

	cr_assert_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	while (!__atomic_load_n(&kept, __ATOMIC_ACQUIRE))
		(void)usleep(1000);
	(void)close(fd);
	cr_assert_eq(monitor_call(path, "release", NULL, MONITOR_OWN_MS, &result, &err), 0, "%s",
		     err.text);
}

Test(monitor, more_callers_than_it_serves_at_once_wait)
{
	int silent[40];

	for (size_t i = 0; i < 30; i++)
		silent[i] = caller();
	for (size_t i = 0; i < 30; i++)
		(void)close(silent[i]);
	cr_assert_str_eq(raw("{\"method\":\"echo\"}", 17), "{\"result\":null}");
}

Test(monitor, one_that_does_not_answer_is_not_waited_for_for_ever)
{
	struct json_object *result = NULL;

	cr_assert_eq(monitor_call(path, "keep", NULL, 50, &result, &err), -ETIMEDOUT);
	cr_assert(strstr(err.text, "does not answer"), "%s", err.text);
	cr_assert_eq(monitor_call(path, "release", NULL, MONITOR_OWN_MS, &result, &err), 0, "%s",
		     err.text);
}

Test(monitor, nor_one_at_which_others_wait_already)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int waiting[8], stopped = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct json_object *result = NULL;
	size_t count = 0;

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%.100s.full", path);
	cr_assert_eq(bind(stopped, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(stopped, 0), 0);
	do
		waiting[count] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	while (connect(waiting[count++], (struct sockaddr *)&address, sizeof address) == 0 &&
	       count < sizeof waiting / sizeof waiting[0]);
	cr_expect_eq(monitor_call(address.sun_path, "echo", NULL, 50, &result, &err), -ETIMEDOUT);
	while (count > 0)
		(void)close(waiting[--count]);
	(void)close(stopped);
	(void)unlink(address.sun_path);
}

Test(monitor, the_socket_of_a_dead_one_is_taken_over)
{
	struct monitor *second = NULL;

	cr_assert_eq(monitor_open(path, methods, NULL, &second, &err), 0, "%s", err.text);
	monitor_close(second);
	cr_assert_eq(access(path, F_OK), -1);
}

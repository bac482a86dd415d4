#include "agent/protocol/agent.pb-c.h"
#include "agent/protocol/ttrpc_server.h"
#include "base/sys.h"
#include "runtime/watchdog.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { METHODS = 18, SET_TIME = 11 };

static struct ttrpc_client *client;
static struct ttrpc_server *server;
static struct watchdog watchdog;
static struct ttrpc_call *kept; /* not answered yet */
static unsigned asked, said;
static char last[200];
static uint64_t realtime_ns;
static bool smooth;

static void on_time(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__SetTimeRequest *message = (const void *)request;

	(void)context;
	asked++;
	realtime_ns = message->realtime_ns;
	smooth = message->smooth;
	kept = call;
}

static void say(void *context, const char *sentence)
{
	cr_assert_eq(context, &watchdog);
	said++;
	(void)snprintf(last, sizeof last, "%s", sentence);
}

static void answer(void)
{
	Katavm__Agent__V1__Empty empty = KATAVM__AGENT__V1__EMPTY__INIT;

	cr_assert_neq(kept, NULL);
	ttrpc_answer(kept, &empty.base);
	kept = NULL;
	cr_assert_eq(ttrpc_client_process(client), 0);
}

/* Waits for when it wants to be called, and calls it. */
static bool process(void)
{
	int timeout = watchdog_timeout_ms(&watchdog);
	bool hangs;

	cr_assert_geq(timeout, 0, "it waits for nothing");
	while (watchdog_timeout_ms(&watchdog) > 0)
		(void)poll(NULL, 0, watchdog_timeout_ms(&watchdog));
	hangs = watchdog_process(&watchdog);
	cr_assert_eq(ttrpc_server_process(server), 0);
	return hangs;
}

static void open_all(unsigned limit_seconds)
{
	static ttrpc_handler_fn *const handlers[METHODS] = { [SET_TIME] = on_time };
	static const struct ttrpc_service service = { .descriptor =
							  &katavm__agent__v1__agent__descriptor,
						      .handlers = handlers };
	int pair[2];

	cr_assert_eq(service.descriptor->n_methods, METHODS);
	cr_assert_str_eq(service.descriptor->methods[SET_TIME].name, "SetTime");
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(ttrpc_client_create(pair[0], 0, &client), 0);
	cr_assert_eq(ttrpc_server_create(pair[1], &service, 1, &server), 0);
	watchdog = (struct watchdog){
		.agent = client, .limit_seconds = limit_seconds, .say = say, .context = &watchdog
	};
	watchdog_start(&watchdog);
}

static void close_all(void)
{
	watchdog_finish(&watchdog);
	ttrpc_client_destroy(client);
	ttrpc_server_destroy(server);
}

Test(watchdog, a_guest_that_answers_hears_the_time)
{
	struct timespec now;
	int64_t off;

	open_all(1);
	for (unsigned i = 1; i <= 2; i++) {
		cr_assert_not(process());
		cr_assert_eq(asked, i);
		answer();
	}
	(void)clock_gettime(CLOCK_REALTIME, &now);
	off = (int64_t)now.tv_sec - (int64_t)(realtime_ns / 1000000000);
	cr_assert(off >= 0 && off < 60);
	cr_assert(smooth);
	cr_assert_eq(said, 0);
	close_all();
}

Test(watchdog, a_guest_that_hangs_is_told_of_once)
{
	open_all(1);
	cr_assert_not(process()); /* the question */
	cr_assert(process());     /* no answer */
	cr_assert_eq(said, 1);
	cr_assert(strstr(last, "has not answered for 1 seconds"), "%s", last);
	cr_assert_eq(watchdog_timeout_ms(&watchdog), -1); /* nothing more is asked */
	answer();
	cr_assert_eq(said, 2);
	cr_assert(strstr(last, "answers again"), "%s", last);
	cr_assert_not(process()); /* and it goes on */
	cr_assert_eq(asked, 2);
	answer();
	cr_assert_eq(said, 2);
	close_all();
}

Test(watchdog, nothing_is_asked_without_a_limit)
{
	open_all(0);
	cr_assert_eq(watchdog_timeout_ms(&watchdog), -1);
	cr_assert_not(watchdog_process(&watchdog));
	cr_assert_geq(watchdog_fd(&watchdog), 0); /* the clock is looked after all the same */
	close_all();
}

Test(watchdog, one_that_never_started)
{
	struct watchdog none = { 0 };

	cr_assert_eq(watchdog_fd(&none), -1);
	cr_assert_eq(watchdog_timeout_ms(&none), -1);
	cr_assert_not(watchdog_process(&none));
	watchdog_finish(&none);
}

/* What is asked when the connection ends is nobody's to answer. */
Test(watchdog, the_end_of_the_connection_says_nothing)
{
	open_all(1);
	cr_assert_not(process());
	ttrpc_server_destroy(server);
	server = NULL;
	(void)ttrpc_client_process(client);
	cr_assert_eq(watchdog_timeout_ms(&watchdog), -1);
	cr_assert_eq(said, 0);
	Katavm__Agent__V1__Empty empty = KATAVM__AGENT__V1__EMPTY__INIT;
	ttrpc_answer(kept, &empty.base);
	close_all();
}

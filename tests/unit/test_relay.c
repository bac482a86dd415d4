#include "agent/relay.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* writer -> [pipe] -> relay -> [socket] -> reader */
static struct loop loop;
static struct relay relay;
static int writer, reader, overs;

static void on_over(struct relay *one)
{
	overs += one == &relay;
}

static void open_relay(enum relay_kind kind)
{
	int pipes[2], sockets[2];

	overs = 0;
	cr_assert_eq(loop_init(&loop), 0);
	cr_assert_eq(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
	writer = pipes[1];
	reader = sockets[1];
	cr_assert_eq(
	    relay_start(&relay, &loop, kind, RELAY_SINK_CONNECTS, pipes[0], sockets[0], on_over),
	    0);
}

/* As many bytes as the pipe takes now. */
static size_t feed(size_t wanted)
{
	static char bytes[4096];
	size_t size = wanted < sizeof bytes ? wanted : sizeof bytes;
	ssize_t put = wanted ? write(writer, bytes, size) : 0;

	return put > 0 ? (size_t)put : 0;
}

static size_t drain(bool *ended)
{
	char bytes[8192];
	ssize_t got = read(reader, bytes, sizeof bytes);

	*ended = got == 0;
	return got > 0 ? (size_t)got : 0;
}

static struct timer tick;

static void on_tick(struct timer *timer)
{
	(void)timer;
}

static void turn(void)
{
	tick.expired = on_tick;
	loop_set_timer(&loop, &tick, 1);
	cr_assert_eq(loop_turn(&loop), 0);
	loop_stop_timer(&loop, &tick);
}

/* A megabyte through, the reader looking only now and then. */
static void all_arrives(enum relay_kind kind)
{
	size_t left = 1 << 20, arrived = 0;
	bool ended = false;

	open_relay(kind);
	for (unsigned i = 0; !ended; i++) {
		left -= feed(left);
		if (left == 0 && writer >= 0) {
			(void)close(writer);
			writer = -1;
		}
		turn();
		if (i % 7 == 0 || writer < 0)
			arrived += drain(&ended);
	}
	cr_assert_eq(arrived, 1 << 20);
	cr_assert_eq(overs, 1);
	cr_assert(relay_is_over(&relay));
	(void)close(reader);
}

Test(relay, nothing_is_lost)
{
	all_arrives(RELAY_SPLICE);
	all_arrives(RELAY_COPY);
}

Test(relay, reader_gone)
{
	(void)signal(SIGPIPE, SIG_IGN);
	open_relay(RELAY_SPLICE);
	turn();
	(void)close(reader);
	turn();
	cr_assert_eq(overs, 1, "also while the writer is silent");
	cr_assert_eq(write(writer, "x", 1), -1);
	cr_assert_eq(errno, EPIPE);
	(void)close(writer);
}

Test(relay, finish_moves_what_is_there)
{
	bool ended;

	open_relay(RELAY_COPY);
	turn();
	cr_assert_eq(write(writer, "abc", 3), 3);
	relay_finish(&relay);
	cr_assert_eq(drain(&ended), 3);
	cr_assert_eq(overs, 1);
	(void)drain(&ended);
	cr_assert(ended);
	(void)close(writer);
	(void)close(reader);
}

Test(relay, idle)
{
	open_relay(RELAY_SPLICE);
	turn();
	cr_assert(relay_is_idle(&relay));
	while (feed(4096) > 0)
		turn();
	cr_assert(!relay_is_idle(&relay), "the reader has not looked");
	relay_stop(&relay);
	cr_assert_eq(overs, 0);
	(void)close(writer);
	(void)close(reader);
}

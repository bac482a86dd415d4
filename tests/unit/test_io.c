#include "base/own.h"
#include "base/sys.h"
#include "devices/hostfd.h"
#include "devices/io.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

/* Every test runs on both engines. */
#define IO_TEST(name)                                                                              \
	static void test_##name(struct io *io);                                                    \
	static void run_##name(enum io_backend backend)                                            \
	{                                                                                          \
		struct io *io;                                                                     \
		int r = io_create(&(struct io_config){ .backend = backend }, &io);                 \
		if (backend == IO_BACKEND_URING && (r == -ENOSYS || r == -EPERM))                  \
			cr_skip_test("this host forbids io_uring");                                \
		cr_assert_eq(r, 0);                                                                \
		test_##name(io);                                                                   \
		io_destroy(io);                                                                    \
	}                                                                                          \
	Test(io_uring, name)                                                                       \
	{                                                                                          \
		run_##name(IO_BACKEND_URING);                                                      \
	}                                                                                          \
	Test(io_epoll, name)                                                                       \
	{                                                                                          \
		run_##name(IO_BACKEND_EPOLL);                                                      \
	}                                                                                          \
	static void test_##name(struct io *io)

struct seen {
	struct io_op op;
	int calls, result;
};

static void note(struct io_op *op, int result)
{
	struct seen *seen = (struct seen *)(void *)op;

	seen->calls++;
	seen->result = result;
}

static void turn_until(struct io *io, const struct seen *seen, int calls)
{
	while (seen->calls < calls) /* however long it takes */
		cr_assert_eq(io_turn(io, 50), 0);
	cr_assert_eq(seen->calls, calls);
}

IO_TEST(file_at_an_offset)
{
	own_fd fd = (int)SYS(memfd_create, "file", MFD_CLOEXEC);
	struct seen seen = { 0 };
	char text[] = "hello", back[8] = "";
	struct iovec out[2] = { { text, 2 }, { text + 2, 3 } }, in = { back, 5 };

	io_writev_at(io, &seen.op, fd, out, 2, 100, note);
	cr_assert(io_is_busy(&seen.op));
	turn_until(io, &seen, 1);
	cr_assert_eq(seen.result, 5);
	io_readv_at(io, &seen.op, fd, &in, 1, 100, note);
	turn_until(io, &seen, 2);
	cr_assert_str_eq(back, "hello");
	io_fdatasync(io, &seen.op, fd, note);
	turn_until(io, &seen, 3);
	cr_assert_eq(seen.result, 0);
	io_fallocate(io, &seen.op, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 5, note);
	turn_until(io, &seen, 4);
	cr_assert_eq(seen.result, 0);
	io_readv_at(io, &seen.op, fd, &in, 1, 1000, note);
	turn_until(io, &seen, 5);
	cr_assert_eq(seen.result, 0);
	io_readv_at(io, &seen.op, -1, &in, 1, 0, note);
	turn_until(io, &seen, 6);
	cr_assert_eq(seen.result, -EBADF);
}

IO_TEST(pipe_read_waits_for_bytes)
{
	int p[2];
	struct seen seen = { 0 };
	char b[8] = "";

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	io_read(io, &seen.op, p[0], b, sizeof b, note);
	cr_assert_eq(io_turn(io, 10), 0);
	cr_assert_eq(seen.calls, 0);
	cr_assert_eq(write(p[1], "xy", 2), 2);
	turn_until(io, &seen, 1);
	cr_assert_eq(seen.result, 2);
	close(p[1]);
	io_read(io, &seen.op, p[0], b, sizeof b, note);
	turn_until(io, &seen, 2);
	cr_assert_eq(seen.result, 0);
	cr_assert_not(fcntl(p[0], F_GETFL) & O_NONBLOCK);
	close(p[0]);
}

IO_TEST(nonblocking_pipe_waits_too)
{
	int p[2];
	struct seen seen = { 0 };
	char b[8] = "";

	cr_assert_eq(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	io_read(io, &seen.op, p[0], b, sizeof b, note);
	cr_assert_eq(io_turn(io, 10), 0);
	cr_assert_eq(seen.calls, 0);
	cr_assert_eq(write(p[1], "xy", 2), 2);
	turn_until(io, &seen, 1);
	cr_assert_eq(seen.result, 2);
	close(p[0]);
	close(p[1]);
}

IO_TEST(segments_are_one_packet)
{
	int p[2];
	struct seen seen = { 0 };
	char a[3] = "", b[8] = "";
	struct iovec in[] = { { a, 2 }, { b, sizeof b } }, out[] = { { "xy", 2 }, { "z", 1 } };

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p), 0);
	io_readv(io, &seen.op, p[0], in, 2, note);
	cr_assert_eq(io_turn(io, 10), 0);
	cr_assert_eq(seen.calls, 0);
	cr_assert_eq(write(p[1], "1", 1), 1);
	cr_assert_eq(write(p[1], "234", 3), 3);
	turn_until(io, &seen, 1);
	cr_assert_eq(seen.result, 1);
	io_readv(io, &seen.op, p[0], in, 2, note);
	turn_until(io, &seen, 2);
	cr_assert_eq(seen.result, 3);
	cr_assert_str_eq(a, "23");
	cr_assert_str_eq(b, "4");
	io_writev(io, &seen.op, p[0], out, 2, note);
	turn_until(io, &seen, 3);
	cr_assert_eq(seen.result, 3);
	cr_assert_eq(read(p[1], b, sizeof b), 3);
	cr_assert_str_eq(b, "xyz");
	close(p[0]);
	close(p[1]);
}

IO_TEST(cancelled_read_consumes_nothing)
{
	int p[2];
	struct seen seen = { 0 };
	char b[8] = "";

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	io_read(io, &seen.op, p[0], b, sizeof b, note);
	cr_assert_eq(io_turn(io, 0), 0);
	cr_assert_eq(io_cancel_wait(&seen.op), -ECANCELED);
	cr_assert_not(io_is_busy(&seen.op));
	cr_assert_eq(seen.calls, 0);
	cr_assert_eq(write(p[1], "xy", 2), 2);
	cr_assert_eq(io_turn(io, 10), 0);
	cr_assert_eq(read(p[0], b, sizeof b), 2);
	io_read(io, &seen.op, p[0], b, sizeof b, note);
	io_cancel(&seen.op);
	turn_until(io, &seen, 1);
	cr_assert_eq(seen.result, -ECANCELED);
	close(p[0]);
	close(p[1]);
}

IO_TEST(full_pipe_and_gone_reader)
{
	int p[2];
	struct seen seen = { 0 };
	static char big[1 << 20];
	size_t written = 0;

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	for (int i = 1; written < sizeof big; i++) {
		static char sink[65536];

		io_write(io, &seen.op, p[1], big + written, sizeof big - written, note);
		while (seen.calls < i) { /* an older kernel's worker writes all before it answers */
			struct pollfd ready = { .fd = p[0], .events = POLLIN };

			cr_assert_eq(io_turn(io, 1), 0);
			while (poll(&ready, 1, 0) == 1)
				cr_assert_gt(read(p[0], sink, sizeof sink), 0);
		}
		cr_assert_gt(seen.result, 0);
		written += (size_t)seen.result;
	}
	cr_assert_eq(written, sizeof big);
	seen.calls = 0;
	close(p[0]);
	io_write(io, &seen.op, p[1], big, 10, note);
	turn_until(io, &seen, 1);
	cr_assert_eq(seen.result, -EPIPE);
	close(p[1]);
}

static int open_raw_terminal(int *slave)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), unlock = 0;
	struct termios raw;

	cr_assert_eq(sys_ioctl(master, TIOCSPTLCK, &unlock), 0);
	*slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_eq(tcgetattr(*slave, &raw), 0);
	cfmakeraw(&raw);
	cr_assert_eq(tcsetattr(*slave, TCSANOW, &raw), 0);
	return master;
}

static void drain(int master)
{
	char sink[4096];

	while (read(master, sink, sizeof sink) > 0)
		;
}

/* How many small pieces, at most `limit`, it takes of which nobody reads any. */
static int fill(struct io *io, int terminal, int limit)
{
	char piece[100] = "";
	struct pollfd room = { .fd = terminal, .events = POLLOUT };
	struct seen seen = { 0 };
	int count = 0;

	while (count < limit && poll(&room, 1, 0) == 1) {
		io_write(io, &seen.op, terminal, piece, sizeof piece, note);
		turn_until(io, &seen, ++count);
		cr_assert_gt(seen.result, 0);
	}
	return count;
}

/* A terminal polls as writable when it has room for a byte. */
IO_TEST(terminal_with_less_room_than_is_written)
{
	static char bytes[4096];
	own_fd slave = -1;
	own_fd master = open_raw_terminal(&slave);
	own_fd terminal = sys_reopen_nonblock(slave, O_WRONLY);
	struct seen seen = { 0 };

	cr_assert_geq(terminal, 0);
	for (int i = 1; i <= 4; i++) {
		int full = fill(io, terminal, INT_MAX);

		drain(master);
		(void)fill(io, terminal, full - 10);
		io_write(io, &seen.op, terminal, bytes, sizeof bytes, note);
		while (seen.calls < i) {
			cr_assert_eq(io_turn(io, 10), 0);
			drain(master);
		}
		cr_assert_gt(seen.result, 0);
		drain(master);
	}
}

IO_TEST(poll_timer_and_descriptors_without_poll)
{
	int p[2];
	struct seen seen = { 0 }, timer = { 0 };
	own_fd fd = (int)SYS(memfd_create, "file", MFD_CLOEXEC);
	uint64_t start = sys_monotonic_ns();
	char b[4];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	io_poll(io, &seen.op, p[0], POLLIN, note);
	io_timer(io, &timer.op, 20000000, note);
	turn_until(io, &timer, 1);
	cr_assert_eq(timer.result, 0);
	cr_assert_geq(sys_monotonic_ns() - start, 20000000);
	cr_assert_eq(seen.calls, 0);
	close(p[1]);
	turn_until(io, &seen, 1);
	cr_assert(seen.result & POLLHUP);
	close(p[0]);
	cr_assert_eq(write(fd, "abc", 3), 3);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	io_read(io, &seen.op, fd, b, sizeof b, note);
	turn_until(io, &seen, 2);
	cr_assert_eq(seen.result, 3);
	io_timer(io, &timer.op, UINT64_C(3600) * 1000000000, note);
	cr_assert_eq(io_turn(io, 0), 0);
	cr_assert_eq(io_cancel_wait(&timer.op), -ECANCELED);
}

IO_TEST(watch_counts_every_kick)
{
	own_fd fd = eventfd(0, EFD_CLOEXEC);
	struct seen seen = { 0 };

	io_watch(io, &seen.op, fd, note);
	for (int i = 1; i <= 5; i++) {
		cr_assert_eq(sys_eventfd_signal(fd), 0);
		turn_until(io, &seen, i);
		cr_assert_eq(seen.result, 1);
	}
	cr_assert_eq(io_turn(io, 5), 0);
	cr_assert_eq(seen.calls, 5);
	cr_assert_eq(io_cancel_wait(&seen.op), -ECANCELED);
	cr_assert_eq(sys_eventfd_signal(fd), 0);
	cr_assert_eq(io_turn(io, 5), 0);
	cr_assert_eq(seen.calls, 5);
}

IO_TEST(accept_and_both_directions)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	own_fd listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	own_fd client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct seen seen = { 0 }, reader = { 0 };
	socklen_t length = sizeof name;
	char b[4] = "";

	cr_assert_eq(bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)), 0);
	cr_assert_eq(listen(listener, 4), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&name, &length), 0);
	io_accept(io, &seen.op, listener, note);
	cr_assert_eq(io_turn(io, 5), 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&name, length), 0);
	turn_until(io, &seen, 1);
	own_fd server = seen.result;
	cr_assert_geq(server, 0);
	cr_assert(fcntl(server, F_GETFD) & FD_CLOEXEC);
	io_read(io, &reader.op, server, b, sizeof b, note);
	io_write(io, &seen.op, server, "hi", 2, note);
	turn_until(io, &seen, 2);
	cr_assert_eq(seen.result, 2);
	cr_assert_eq(write(client, "ho", 2), 2);
	turn_until(io, &reader, 1);
	cr_assert_eq(reader.result, 2);
}

IO_TEST(more_operations_than_the_ring_has_entries)
{
	enum { MANY = 500 };
	static struct seen many[MANY];
	static char bytes[MANY];
	own_fd fd = (int)SYS(memfd_create, "file", MFD_CLOEXEC);
	static struct iovec segments[MANY];
	int done = 0;

	memset(many, 0, sizeof many);
	for (int i = 0; i < MANY; i++) {
		segments[i] = (struct iovec){ &bytes[i], 1 };
		io_writev_at(io, &many[i].op, fd, &segments[i], 1, (uint64_t)i, note);
	}
	while (done < MANY) { /* a turn may bring one completion, or many */
		cr_assert_eq(io_turn(io, 10), 0);
		done = 0;
		for (int j = 0; j < MANY; j++)
			done += many[j].calls;
	}
	cr_assert_eq(done, MANY);
}

static void add_one(void *argument)
{
	++*(int *)argument;
}

struct caller {
	struct io *io;
	int value;
};

static void *call_often(void *argument)
{
	struct caller *caller = argument;

	for (int i = 0; i < 200; i++)
		cr_assert_eq(io_call(caller->io, add_one, &caller->value), 0);
	io_stop(caller->io);
	cr_assert_eq(io_call(caller->io, add_one, &caller->value), -ESHUTDOWN);
	return NULL;
}

IO_TEST(calls_from_another_thread)
{
	struct caller caller = { .io = io };
	pthread_t thread;

	cr_assert_eq(io_attach(io), 0);
	cr_assert_eq(pthread_create(&thread, NULL, call_often, &caller), 0);
	cr_assert_eq(io_run(io), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(caller.value, 200);
}

Test(io, falls_back)
{
	struct sys_fault fault = { .call = "epoll_create1", .result = -EMFILE, .count = 1 };
	struct io *io;

	sys_inject(&fault);
	cr_assert_eq(io_create(&(struct io_config){ .backend = IO_BACKEND_EPOLL }, &io), -EMFILE);
	cr_assert_eq(io_create(&(struct io_config){ .backend = IO_BACKEND_EPOLL }, &io), 0);
	cr_assert_str_eq(io_backend_name(io), "epoll");
	sys_inject(NULL);
	io_destroy(io);
}

Test(hostfd, never_sleeps)
{
	int p[2];
	char b[4096] = "";
	struct iovec segment = { b, sizeof b };
	enum hostfd_kind kind;
	long n = 0;

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	kind = hostfd_kind(p[0]);
	cr_assert_eq(kind, HOSTFD_NOWAIT);
	n = hostfd_try_readv(p[0], &kind, &segment, 1);
	cr_assert(n == -EAGAIN || (n == -EOPNOTSUPP && kind == HOSTFD_BLOCKING));
	kind = hostfd_kind(p[1]);
	for (int i = 0; i < 1000 && n != -EAGAIN && n != -EOPNOTSUPP; i++)
		n = hostfd_try_writev(p[1], &kind, &segment, 1);
	cr_assert(n == -EAGAIN || n == -EOPNOTSUPP);
	close(p[0]);
	close(p[1]);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	kind = hostfd_kind(p[0]);
	cr_assert_eq(kind, HOSTFD_SOCKET);
	cr_assert_eq(hostfd_try_readv(p[0], &kind, &segment, 1), -EAGAIN);
	close(p[1]);
	cr_assert_eq(hostfd_try_writev(p[0], &kind, &segment, 1), -EPIPE);
	close(p[0]);
}

#include "base/own.h"
#include "base/sys.h"
#include "devices/virtio_vsock.h"
#include "guest.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	RX = 0,
	TX = 1,
	CID = 3,
	PORT = 2048,
	GUEST_PORT = 77,
	RX_BUFFERS = 16,
	RX_SIZE = 4096,
	RX_DATA = GUEST_DATA,
	TX_DATA = GUEST_DATA + RX_BUFFERS * RX_SIZE,
	BUFFER = 64 * 1024,
};
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

struct header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

static struct guest guest;
static struct virtio_device *device;
static unsigned connected_count, closed_count, ended_count;
static uint32_t closed_port;
static int closed_error;
static uint32_t guest_forwarded, guest_buf_alloc;
static uint8_t payload[RX_SIZE]; /* of the newest packet received */

static void on_connected(void *context, uint32_t port)
{
	(void)context;
	(void)port;
	connected_count++;
}

static void on_closed(void *context, uint32_t port, int error)
{
	(void)context;
	closed_count++;
	closed_port = port;
	closed_error = error;
}

static void on_ended(void *context)
{
	(void)context;
	ended_count++;
}

static void give_rx(uint16_t head)
{
	guest_set_desc(RX, head, RX_DATA + head * (size_t)RX_SIZE, RX_SIZE, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, RX, head);
}

static void start_driver(void)
{
	cr_assert_eq(guest_start(&guest, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX), 15);
	for (uint16_t i = 0; i < RX_BUFFERS; i++)
		give_rx(i);
	guest_kick(&guest, RX);
}

static void open_backend(enum io_backend backend)
{
	struct virtio_vsock_config config = { .guest_cid = CID,
					      .max_streams = 8,
					      .buffer_size = BUFFER,
					      .connected = on_connected,
					      .closed = on_closed,
					      .ended = on_ended };

	cr_assert_eq(virtio_vsock_create(&config, &device), 0);
	guest_open_backend(&guest, device, backend);
	connected_count = closed_count = ended_count = 0;
	guest_forwarded = 0;
	guest_buf_alloc = 256 * 1024;
	start_driver();
}

static void close_all(void)
{
	guest_close(&guest);
}

static void send_packet(uint16_t op, uint32_t guest_port, uint32_t port, const void *data,
			uint32_t size, uint32_t flags)
{
	static uint16_t next;
	struct header header = { .src_cid = CID,
				 .dst_cid = 2,
				 .src_port = guest_port,
				 .dst_port = port,
				 .len = size,
				 .type = 1,
				 .op = op,
				 .flags = flags,
				 .buf_alloc = guest_buf_alloc,
				 .fwd_cnt = guest_forwarded };
	uint16_t head = (uint16_t)(next++ % (GUEST_QUEUE_SIZE / 2) * 2);

	memcpy(guest_ram + TX_DATA, &header, sizeof header);
	if (size > 0)
		memcpy(guest_ram + TX_DATA + 64, data, size);
	guest_set_desc(TX, head, TX_DATA, sizeof header, size ? VRING_DESC_F_NEXT : 0,
		       (uint16_t)(head + 1));
	guest_set_desc(TX, head + 1U, TX_DATA + 64, size, 0, 0);
	guest_offer(&guest, TX, head);
	guest_kick(&guest, TX);
	cr_assert_eq(guest_wait(&guest, TX).id, head, "the tx queue never waits for a stream");
}

/* The next packet for the guest; its buffer goes back at once. */
static struct header receive(void)
{
	struct vring_used_elem used = guest_wait(&guest, RX);
	const uint8_t *at = guest_ram + RX_DATA + used.id * (size_t)RX_SIZE;
	struct header header;

	memcpy(&header, at, sizeof header);
	cr_assert_eq(used.len, sizeof header + header.len);
	cr_assert_eq(header.src_cid, 2);
	cr_assert_eq(header.dst_cid, CID);
	cr_assert_eq(header.type, 1);
	memcpy(payload, at + sizeof header, header.len);
	give_rx((uint16_t)used.id);
	guest_kick(&guest, RX);
	return header;
}

static struct header expect(uint16_t op)
{
	struct header header = receive();

	cr_assert_eq(header.op, op, "operation %u instead of %u", header.op, op);
	return header;
}

static void expect_silence(void)
{
	struct vring_used_elem used;

	guest_turn(&guest);
	cr_assert_not(guest_take(&guest, RX, &used));
}

static void connect_guest(int fd, enum vsock_mode mode)
{
	struct header header;

	cr_assert_eq(virtio_vsock_bind(device, PORT, fd, mode), 0);
	send_packet(REQUEST, GUEST_PORT, PORT, NULL, 0, 0);
	header = expect(RESPONSE);
	cr_assert_eq(header.src_port, PORT);
	cr_assert_eq(header.dst_port, GUEST_PORT);
	cr_assert_eq(header.buf_alloc, BUFFER);
	cr_assert_eq(connected_count, 1);
}

static void turn_until_closed(void)
{
	guest_turn_until(&guest, closed_count > 0);
	cr_assert_eq(closed_count, 1);
	cr_assert_eq(closed_port, PORT);
}

static void make_pipe(int p[2])
{
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
}

static void make_sockets(int p[2])
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
}

/* Every test runs on both engines. */
#define VSOCK_TEST(name)                                                                           \
	static void test_##name(void);                                                             \
	Test(vsock_auto, name)                                                                     \
	{                                                                                          \
		open_backend(IO_BACKEND_AUTO);                                                     \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	Test(vsock_epoll, name)                                                                    \
	{                                                                                          \
		open_backend(IO_BACKEND_EPOLL);                                                    \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	static void test_##name(void)

VSOCK_TEST(unbound_port_is_refused)
{
	struct header header;

	send_packet(REQUEST, GUEST_PORT, 9999, NULL, 0, 0);
	header = expect(RST);
	cr_assert_eq(header.src_port, 9999);
	cr_assert_eq(header.dst_port, GUEST_PORT);
	send_packet(RW, GUEST_PORT, 9999, "x", 1, 0);
	(void)expect(RST);
	send_packet(RST, GUEST_PORT, 9999, NULL, 0, 0);
	expect_silence();
}

/* The next read waits for nothing but buffers, and a short one is the last. */
VSOCK_TEST(much_to_read_is_not_polled_for)
{
	enum { ROOM = RX_SIZE - sizeof(struct header), SIZE = RX_BUFFERS * ROOM + 1000 };
	static uint8_t much[SIZE];
	size_t done = 0;
	unsigned idle;
	int p[2];

	make_sockets(p);
	connect_guest(p[1], VSOCK_BOTH);
	guest_turn(&guest);
	idle = io_busy_count(guest.io);
	for (size_t i = 0; i < SIZE; i++)
		much[i] = (uint8_t)(i * 7 + i / 256);
	cr_assert_eq(write(p[0], much, SIZE), SIZE);
	guest_turn_until(&guest, guest_used_index(RX) == 1 + RX_BUFFERS);
	cr_assert_eq(io_busy_count(guest.io), idle - 1, "nobody waits for the descriptor");
	while (done < SIZE) {
		struct header header = expect(RW);

		cr_assert_arr_eq(payload, much + done, header.len);
		done += header.len;
	}
	guest_turn_until(&guest, io_busy_count(guest.io) == idle);
	cr_assert_eq(write(p[0], "more", 4), 4);
	cr_assert_eq(expect(RW).len, 4);
	close(p[0]);
}

VSOCK_TEST(what_the_guest_writes)
{
	int p[2];
	char b[16] = "";

	make_pipe(p);
	connect_guest(p[1], VSOCK_WRITE);
	send_packet(RW, GUEST_PORT, PORT, "hello", 5, 0);
	cr_assert_eq(guest_read_fd(&guest, p[0], b, sizeof b), 5);
	cr_assert_str_eq(b, "hello");
	cr_assert_eq(closed_count, 0);
	send_packet(SHUTDOWN, GUEST_PORT, PORT, NULL, 0, 3);
	(void)expect(RST);
	turn_until_closed();
	cr_assert_eq(closed_error, 0);
	cr_assert_eq(guest_read_fd(&guest, p[0], b, sizeof b), 0, "the descriptor is closed");
	close(p[0]);
	send_packet(REQUEST, GUEST_PORT, PORT, NULL, 0, 0);
	(void)expect(RST); /* a binding is for one connection */
}

VSOCK_TEST(what_the_guest_reads)
{
	int p[2];
	struct header header;

	make_pipe(p);
	connect_guest(p[0], VSOCK_READ);
	expect_silence();
	cr_assert_eq(write(p[1], "input", 5), 5);
	header = expect(RW);
	cr_assert_eq(header.len, 5);
	cr_assert_arr_eq(payload, "input", 5);
	close(p[1]);
	header = expect(SHUTDOWN);
	cr_assert_eq(header.flags, 2);
	cr_assert_eq(closed_count, 0);
	send_packet(SHUTDOWN, GUEST_PORT, PORT, NULL, 0, 3);
	(void)expect(RST);
	turn_until_closed();
	cr_assert_eq(closed_error, 0);
}

VSOCK_TEST(guest_that_reads_no_more_leaves_the_rest)
{
	int p[2];
	char b[8];

	make_pipe(p);
	int mine = dup(p[0]);
	connect_guest(p[0], VSOCK_READ);
	expect_silence();
	send_packet(SHUTDOWN, GUEST_PORT, PORT, NULL, 0, 1);
	(void)expect(RST);
	turn_until_closed();
	cr_assert_eq(write(p[1], "later", 5), 5);
	guest_turn(&guest);
	cr_assert_eq(read(mine, b, sizeof b), 5);
	close(mine);
	close(p[1]);
}

VSOCK_TEST(credit_of_the_guest_is_kept)
{
	int p[2];
	static char big[20000];
	uint32_t got = 0;
	struct header header;

	guest_buf_alloc = 6000;
	make_pipe(p);
	connect_guest(p[0], VSOCK_READ);
	cr_assert_eq(write(p[1], big, sizeof big), sizeof big);
	while (got < 6000)
		got += expect(RW).len;
	cr_assert_eq(got, 6000);
	(void)expect(CREDIT_REQUEST);
	expect_silence();
	guest_forwarded = 1000;
	send_packet(CREDIT_UPDATE, GUEST_PORT, PORT, NULL, 0, 0);
	header = expect(RW);
	cr_assert_eq(header.len, 1000);
	close(p[1]);
	for (got = 7000; got < sizeof big;) {
		guest_forwarded = got;
		send_packet(CREDIT_UPDATE, GUEST_PORT, PORT, NULL, 0, 0);
		do
			header = receive();
		while (header.op == CREDIT_REQUEST);
		cr_assert_eq(header.op, RW);
		got += header.len;
		while (got < guest_forwarded + 6000 && got < sizeof big)
			got += expect(RW).len;
	}
}

VSOCK_TEST(slow_reader_fills_the_buffer_and_no_more)
{
	int p[2];
	static char big[8192];
	uint32_t sent = 0, forwarded = 0, pipe_size;
	size_t got = 0;
	uint16_t op;

	make_pipe(p);
	pipe_size = (uint32_t)fcntl(p[1], F_GETPIPE_SZ);
	connect_guest(p[1], VSOCK_WRITE);
	cr_assert_not(virtio_vsock_is_writing(device));
	while (sent < pipe_size + BUFFER / 2) { /* more than the pipe takes */
		while (sent + sizeof big > BUFFER + forwarded)
			forwarded = expect(CREDIT_UPDATE).fwd_cnt;
		cr_assert_leq(forwarded, pipe_size);
		memset(big, (int)(sent / sizeof big), sizeof big);
		send_packet(RW, GUEST_PORT, PORT, big, sizeof big, 0);
		sent += sizeof big;
	}
	send_packet(SHUTDOWN, GUEST_PORT, PORT, NULL, 0, 3);
	do
		op = receive().op;
	while (op == CREDIT_UPDATE);
	cr_assert_eq(op, RST);
	cr_assert_eq(closed_count, 0, "closed only when all is written");
	cr_assert(virtio_vsock_is_writing(device));
	while (got < sent) {
		long n = guest_read_fd(&guest, p[0], big, sizeof big);

		cr_assert_gt(n, 0);
		for (long i = 0; i < n; i++)
			cr_assert_eq((uint8_t)big[i], (uint8_t)((got + (size_t)i) / sizeof big));
		got += (size_t)n;
	}
	turn_until_closed();
	cr_assert_not(virtio_vsock_is_writing(device));
	cr_assert_eq(closed_error, 0);
	close(p[0]);
}

VSOCK_TEST(more_than_the_credit_ends_the_stream)
{
	int p[2];
	static char big[16384];
	struct header header = { .op = CREDIT_UPDATE };

	make_pipe(p);
	connect_guest(p[1], VSOCK_WRITE);
	for (int i = 0; i < 40 && header.op != RST; i++) {
		send_packet(RW, GUEST_PORT, PORT, big, sizeof big, 0);
		guest_turn(&guest);
		while (guest_used_index(RX) != guest.seen[RX])
			header = receive();
	}
	cr_assert_eq(header.op, RST);
	close(p[0]);
	turn_until_closed();
}

VSOCK_TEST(reader_that_is_gone)
{
	int p[2];

	make_pipe(p);
	close(p[0]);
	connect_guest(p[1], VSOCK_WRITE);
	send_packet(RW, GUEST_PORT, PORT, "x", 1, 0);
	(void)expect(RST);
	turn_until_closed();
	cr_assert_eq(closed_error, -EPIPE);
}

VSOCK_TEST(socket_both_ways_and_half_closed)
{
	int p[2];
	char b[16];
	struct header header;

	make_sockets(p);
	connect_guest(p[0], VSOCK_BOTH);
	cr_assert_eq(write(p[1], "question", 8), 8);
	header = expect(RW);
	cr_assert_eq(header.len, 8);
	send_packet(RW, GUEST_PORT, PORT, "answer", 6, 0);
	cr_assert_eq(guest_read_fd(&guest, p[1], b, sizeof b), 6);
	send_packet(SHUTDOWN, GUEST_PORT, PORT, NULL, 0, 2);
	cr_assert_eq(guest_read_fd(&guest, p[1], b, sizeof b), 0, "half closed");
	cr_assert_eq(write(p[1], "more", 4), 4);
	(void)expect(RW);
	close(p[1]);
	header = expect(SHUTDOWN);
	cr_assert_eq(header.flags, 2);
	send_packet(RST, GUEST_PORT, PORT, NULL, 0, 0);
	turn_until_closed();
	cr_assert_eq(closed_error, 0);
}

VSOCK_TEST(host_connects_to_the_guest)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	own_fd client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	own_fd second = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof name;
	struct header header;
	char b[8];

	cr_assert_eq(bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)), 0);
	cr_assert_eq(listen(listener, 4), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&name, &length), 0);
	cr_assert_eq(virtio_vsock_listen(device, listener, 5000), 0);
	guest_turn(&guest);
	cr_assert_eq(connect(client, (struct sockaddr *)&name, length), 0);
	header = expect(REQUEST);
	cr_assert_eq(header.dst_port, 5000);
	send_packet(RESPONSE, 5000, header.src_port, NULL, 0, 0);
	send_packet(RW, 5000, header.src_port, "hi", 2, 0);
	cr_assert_eq(guest_read_fd(&guest, client, b, sizeof b), 2);
	cr_assert_eq(write(client, "ho", 2), 2);
	cr_assert_eq(expect(RW).len, 2);
	cr_assert_eq(connect(second, (struct sockaddr *)&name, length), 0);
	header = expect(REQUEST);
	send_packet(RST, 5000, header.src_port, NULL, 0, 0);
	cr_assert_eq(guest_read_fd(&guest, second, b, sizeof b), 0, "refused by the guest");
}

VSOCK_TEST(too_many_streams_are_refused)
{
	int p[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	make_pipe(p);
	for (uint32_t i = 0; i < 8; i++) {
		cr_assert_eq(virtio_vsock_bind(device, 3000 + i, dup(p[1]), VSOCK_WRITE), 0);
		send_packet(REQUEST, GUEST_PORT, 3000 + i, NULL, 0, 0);
		(void)expect(RESPONSE);
	}
	cr_assert_eq(virtio_vsock_bind(device, 4000, null, VSOCK_WRITE), 0);
	cr_assert_eq(virtio_vsock_bind(device, 4000, null, VSOCK_WRITE), -EEXIST);
	send_packet(REQUEST, GUEST_PORT, 4000, NULL, 0, 0);
	(void)expect(RST);
	send_packet(SHUTDOWN, GUEST_PORT, 3000, NULL, 0, 3);
	(void)expect(RST);
	send_packet(REQUEST, GUEST_PORT, 4000, NULL, 0, 0);
	(void)expect(RESPONSE);
	close(p[0]);
	close(p[1]);
}

VSOCK_TEST(senseless_packets)
{
	int p[2];

	make_sockets(p);
	connect_guest(p[0], VSOCK_BOTH);
	send_packet(99, GUEST_PORT, PORT, NULL, 0, 0);
	(void)expect(RST);
	turn_until_closed();
	send_packet(99, GUEST_PORT, PORT, NULL, 0, 0);
	(void)expect(RST);
	send_packet(RESPONSE, GUEST_PORT, PORT, NULL, 0, 0);
	(void)expect(RST);
	close(p[1]);
}

VSOCK_TEST(length_that_lies)
{
	int p[2];
	struct header header = { .src_cid = CID,
				 .dst_cid = 2,
				 .src_port = GUEST_PORT,
				 .dst_port = PORT,
				 .len = 5000,
				 .type = 1,
				 .op = RW };

	make_sockets(p);
	connect_guest(p[0], VSOCK_BOTH);
	memcpy(guest_ram + TX_DATA, &header, sizeof header);
	guest_set_desc(TX, 15, TX_DATA, sizeof header, 0, 0);
	guest_offer(&guest, TX, 15);
	guest_kick(&guest, TX);
	(void)expect(RST);
	close(p[1]);
}

VSOCK_TEST(refusals_wait_for_buffers)
{
	struct header header;

	cr_assert_eq(guest_start(&guest, 0), 15); /* no rx buffers */
	for (uint32_t i = 0; i < 64; i++)
		send_packet(REQUEST, GUEST_PORT, 9000 + i, NULL, 0, 0);
	for (uint16_t i = 0; i < RX_BUFFERS; i++)
		give_rx(i);
	guest_kick(&guest, RX);
	for (uint32_t i = 0; i < 64; i++) {
		header = expect(RST);
		cr_assert_eq(header.src_port, 9000 + i);
	}
}

VSOCK_TEST(reset_writes_what_was_taken)
{
	int p[2];
	static char big[8192];
	size_t sent = 0, got = 0;

	make_pipe(p);
	connect_guest(p[1], VSOCK_WRITE);
	for (; sent < BUFFER; sent += sizeof big)
		send_packet(RW, GUEST_PORT, PORT, big, sizeof big, 0);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 0);
	while (got < sent) {
		long n = guest_read_fd(&guest, p[0], big, sizeof big);

		cr_assert_gt(n, 0);
		got += (size_t)n;
	}
	turn_until_closed();
	cr_assert_eq(closed_error, -ECONNRESET);
	close(p[0]);
	start_driver();
	send_packet(REQUEST, GUEST_PORT, PORT, NULL, 0, 0);
	(void)expect(RST);
}

VSOCK_TEST(end_takes_what_is_in_the_queue)
{
	int p[2];
	char b[8];
	struct header header = { .src_cid = CID,
				 .dst_cid = 2,
				 .src_port = GUEST_PORT,
				 .dst_port = PORT,
				 .len = 4,
				 .type = 1,
				 .op = RW };

	make_pipe(p);
	connect_guest(p[1], VSOCK_WRITE);
	memcpy(guest_ram + TX_DATA, &header, sizeof header);
	memcpy(guest_ram + TX_DATA + sizeof header, "last", 4);
	guest_set_desc(TX, 15, TX_DATA, sizeof header + 4, 0, 0);
	guest_offer(&guest, TX, 15);
	virtio_vsock_end(device);
	guest_turn_until(&guest, ended_count > 0);
	cr_assert_eq(ended_count, 1);
	cr_assert_eq(closed_count, 1);
	cr_assert_eq(read(p[0], b, sizeof b), 4);
	close(p[0]);
}

VSOCK_TEST(file_and_null_device)
{
	own_fd file = (int)SYS(memfd_create, "out", MFD_CLOEXEC);
	char b[8] = "";

	connect_guest(dup(file), VSOCK_WRITE);
	send_packet(RW, GUEST_PORT, PORT, "abc", 3, 0);
	send_packet(RW, GUEST_PORT, PORT, "def", 3, 0);
	send_packet(SHUTDOWN, GUEST_PORT, PORT, NULL, 0, 2);
	turn_until_closed();
	cr_assert_eq(pread(file, b, 6, 0), 6);
	cr_assert_str_eq(b, "abcdef");
	(void)expect(RST);
	closed_count = connected_count = 0;
	cr_assert_eq(lseek(file, 0, SEEK_SET), 0);
	connect_guest(dup(file), VSOCK_READ);
	cr_assert_eq(expect(RW).len, 6);
	(void)expect(SHUTDOWN);
	send_packet(SHUTDOWN, GUEST_PORT, PORT, NULL, 0, 3);
	(void)expect(RST);
	closed_count = connected_count = 0;
	connect_guest(open("/dev/null", O_RDWR | O_CLOEXEC), VSOCK_WRITE);
	send_packet(RW, GUEST_PORT, PORT, "abc", 3, 0);
	send_packet(SHUTDOWN, GUEST_PORT, PORT, NULL, 0, 3);
	(void)expect(RST);
	turn_until_closed();
	cr_assert_eq(closed_error, 0);
}

Test(vsock_faults, accept_is_tried_again)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct sys_fault fault = { .call = "accept4", .result = -EMFILE, .count = 1 };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	own_fd client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof name;

	open_backend(IO_BACKEND_EPOLL);
	cr_assert_eq(bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)), 0);
	cr_assert_eq(listen(listener, 4), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&name, &length), 0);
	sys_inject(&fault);
	cr_assert_eq(virtio_vsock_listen(device, listener, 5000), 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&name, length), 0);
	(void)expect(REQUEST);
	cr_assert_eq(fault.count, 0);
	sys_inject(NULL);
	close_all();
}

Test(vsock_faults, full_disk_behind_the_output)
{
	struct sys_fault fault = { .call = "write", .result = -ENOSPC, .count = 1 };
	int file = (int)SYS(memfd_create, "out", MFD_CLOEXEC);

	open_backend(IO_BACKEND_EPOLL);
	connect_guest(file, VSOCK_WRITE);
	/* the eventfd of the kick is written by the same call: let that one pass */
	fault.skip = 1;
	sys_inject(&fault);
	send_packet(RW, GUEST_PORT, PORT, "abc", 3, 0);
	turn_until_closed();
	sys_inject(NULL);
	cr_assert_eq(closed_error, -ENOSPC);
	(void)expect(RST);
	close_all();
}

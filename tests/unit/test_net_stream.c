/* The network device on a stream socket, whose other end is a passt that does as it likes. */
#include "base/own.h"
#include "devices/virtio_net.h"
#include "guest.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>

enum { RX = 0, TX = 1, HEADER = 12, BUFFER = 0x1000 };
#define MERGED (UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)

static struct guest guest;
static struct virtio_device *device;
static int end;

static void open_backend(enum io_backend backend)
{
	struct virtio_net_setup setup = { .pair_count = 1,
					  .mac = { 2, 0, 0, 0, 0, 7 },
					  .is_stream = true };
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	setup.fds[0] = pair[0];
	end = pair[1];
	cr_assert_eq(virtio_net_create(&setup, &device), 0);
	guest_open_backend(&guest, device, backend);
	cr_assert_eq(guest_start(&guest, MERGED), 15);
}

static void close_all(void)
{
	guest_close(&guest);
	close_fd(&end);
}

#define STREAM_TEST(name)                                                                          \
	static void test_##name(void);                                                             \
	Test(net_stream_auto, name)                                                                \
	{                                                                                          \
		open_backend(IO_BACKEND_AUTO);                                                     \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	Test(net_stream_epoll, name)                                                               \
	{                                                                                          \
		open_backend(IO_BACKEND_EPOLL);                                                    \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	static void test_##name(void)

static uint8_t *data_of(unsigned head)
{
	return guest_ram + GUEST_DATA + head * (size_t)BUFFER;
}

static void offer(uint16_t head, const void *data, uint32_t size)
{
	memset(data_of(head), 0, HEADER);
	memcpy(data_of(head) + HEADER, data, size);
	guest_set_desc(TX, head, GUEST_DATA + head * (size_t)BUFFER, HEADER + size, 0, 0);
	guest_offer(&guest, TX, head);
}

static void give_buffer(uint16_t head, uint32_t size)
{
	guest_set_desc(RX, head, GUEST_DATA + head * (size_t)BUFFER, size, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, RX, head);
	guest_kick(&guest, RX);
}

/* Exactly `size` bytes of what the device writes. */
static void read_whole(void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		long n = guest_read_fd(&guest, end, (uint8_t *)to + done, size - done);

		cr_assert_gt(n, 0);
		done += (size_t)n;
	}
}

static uint32_t read_frame(uint8_t *to)
{
	uint32_t length;

	read_whole(&length, sizeof length);
	length = ntohl(length);
	cr_assert_leq(length, 65535);
	read_whole(to, length);
	return length;
}

static void send_bytes(const void *bytes, size_t size)
{
	cr_assert_eq(write(end, bytes, size), (long)size);
}

static size_t make_frame(uint8_t *to, uint32_t size, uint8_t fill)
{
	uint32_t length = htonl(size);

	memcpy(to, &length, sizeof length);
	memset(to + sizeof length, fill, size);
	return sizeof length + size;
}

static bool link_is_up(void)
{
	uint16_t status;

	virtio_mmio_read(guest.mmio, VIRTIO_MMIO_CONFIG + 6, &status, sizeof status);
	return status & VIRTIO_NET_S_LINK_UP;
}

STREAM_TEST(nothing_is_left_unfinished)
{
	guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES) & 0x7fff, 1 << 5);
}

STREAM_TEST(frames_leave_behind_their_lengths)
{
	uint8_t frame[70000];

	offer(0, "first", 5);
	offer(1, "second", 6);
	guest_kick(&guest, TX);
	cr_assert_eq(read_frame(frame), 5);
	cr_assert_arr_eq(frame, "first", 5);
	cr_assert_eq(read_frame(frame), 6);
	cr_assert_arr_eq(frame, "second", 6);
	cr_assert_eq(guest_wait(&guest, TX).id, 0);
	cr_assert_eq(guest_wait(&guest, TX).id, 1);
	offer(2, "third", 5);
	guest_kick(&guest, TX);
	cr_assert_eq(read_frame(frame), 5);
}

STREAM_TEST(slow_reader_gets_all_frames_in_order)
{
	enum { FRAMES = 300, SIZE = 3000 };
	uint8_t frame[70000], data[SIZE];
	unsigned offered = 0, got = 0;
	const int room = 4096;

	(void)setsockopt(end, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	while (got < FRAMES) {
		struct vring_used_elem used;

		while (offered < FRAMES && (uint16_t)(offered - guest_used_index(TX)) < 16) {
			memset(data, (int)offered, sizeof data);
			offer((uint16_t)(offered % 16), data, sizeof data);
			offered++;
		}
		guest_kick(&guest, TX);
		guest_turn(&guest);
		while (guest_take(&guest, TX, &used))
			;
		cr_assert_eq(read_frame(frame), SIZE);
		cr_assert_eq(frame[0], (uint8_t)got);
		cr_assert_eq(frame[SIZE - 1], (uint8_t)got);
		got++;
	}
}

STREAM_TEST(frames_come_in_pieces)
{
	uint8_t bytes[4000];
	size_t size = make_frame(bytes, 100, 'a');

	size += make_frame(bytes + size, 200, 'b');
	size += make_frame(bytes + size, 2000, 'c');
	for (uint16_t i = 0; i < 5; i++)
		give_buffer(i, 1000);
	for (size_t at = 0; at < size; at += 7) {
		send_bytes(bytes + at, at + 7 < size ? 7 : size - at);
		cr_assert_eq(io_turn(guest.io, 0), 0);
	}
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 100);
	cr_assert_eq(data_of(0)[HEADER], 'a');
	cr_assert_eq(data_of(0)[0], 0);
	cr_assert_eq(data_of(0)[10], 1);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 200);
	cr_assert_eq(data_of(1)[HEADER + 199], 'b');
	cr_assert_eq(guest_wait(&guest, RX).len, 1000);
	cr_assert_eq(guest_wait(&guest, RX).len, 1000);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 2000 - 2000);
	cr_assert_eq(data_of(2)[10], 3);
	cr_assert_eq(data_of(4)[HEADER - 1], 'c');
}

STREAM_TEST(frames_wait_for_buffers)
{
	uint8_t bytes[4000];
	size_t size = make_frame(bytes, 1500, 'x');

	size += make_frame(bytes + size, 50, 'y');
	send_bytes(bytes, size);
	guest_turn(&guest);
	give_buffer(0, 600);
	give_buffer(1, 600);
	guest_turn(&guest);
	cr_assert_eq(guest_used_index(RX), 0);
	give_buffer(2, 600);
	for (int i = 0; i < 3; i++)
		(void)guest_wait(&guest, RX);
	cr_assert_eq(data_of(0)[10], 3);
	cr_assert_eq(data_of(2)[311], 'x');
	give_buffer(3, 600);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 50);
	cr_assert_eq(data_of(3)[HEADER], 'y');
}

STREAM_TEST(without_merging_what_does_not_fit_is_dropped)
{
	uint8_t bytes[4000];
	size_t size = make_frame(bytes, 1500, 'x');

	cr_assert_eq(guest_start(&guest, 0), 15);
	size += make_frame(bytes + size, 50, 'y');
	send_bytes(bytes, size);
	give_buffer(0, 600);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 50);
	cr_assert_eq(data_of(0)[HEADER + 49], 'y');
	cr_assert_eq(data_of(0)[10], 1);
}

STREAM_TEST(length_that_cannot_be_takes_the_link_down)
{
	give_buffer(0, 600);
	send_bytes("\xff\xff\xff\xff", 4);
	guest_turn_until(&guest, !link_is_up());
	offer(0, "nobody", 6);
	guest_kick(&guest, TX);
	cr_assert_eq(guest_wait(&guest, TX).id, 0);
	cr_assert_eq(guest_start(&guest, MERGED), 15);
}

STREAM_TEST(passt_that_is_gone_takes_the_link_down)
{
	give_buffer(0, 600);
	guest_turn(&guest);
	close_fd(&end);
	guest_turn_until(&guest, !link_is_up());
}

STREAM_TEST(passt_that_goes_while_frames_wait)
{
	static uint8_t data[4000];
	const int room = 4096;

	(void)setsockopt(end, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	for (uint16_t i = 0; i < 16; i++)
		offer(i, data, sizeof data);
	guest_kick(&guest, TX);
	guest_turn(&guest);
	close_fd(&end);
	for (uint16_t i = 0; i < 16; i++)
		cr_assert_eq(guest_wait(&guest, TX).id, i);
}

/* What a reset cuts off is made whole, so that the next length is where it is looked for. */
STREAM_TEST(reset_in_the_middle_of_a_frame)
{
	static uint8_t frame[70000];
	const int room = 4096;
	size_t whole = 0;

	for (int round = 0; round < 4; round++) {
		(void)setsockopt(end, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
		memset(guest_ram + 0x40000, 'z', 65000);
		for (uint16_t i = 0; i < 16; i++) {
			guest_set_desc(TX, i, 0x40000 - HEADER, 60000 + HEADER, 0, 0);
			memset(guest_ram + 0x40000 - HEADER, 0, HEADER);
			guest_offer(&guest, TX, i);
		}
		guest_kick(&guest, TX);
		guest_turn(&guest);
		cr_assert_lt(guest_used_index(TX), 16);
		cr_assert_eq(guest_start(&guest, MERGED), 15);
	}
	offer(0, "the end", 7);
	guest_kick(&guest, TX);
	for (;;) {
		uint32_t size = read_frame(frame);

		if (size == 7)
			break;
		cr_assert_eq(size, 60000);
		whole++;
	}
	cr_assert_arr_eq(frame, "the end", 7);
	cr_assert_gt(whole, 0);
}

STREAM_TEST(reset_while_a_frame_comes)
{
	uint8_t bytes[4000];
	size_t size = make_frame(bytes, 1500, 'x');

	give_buffer(0, 2000);
	send_bytes(bytes, 700);
	guest_turn(&guest);
	cr_assert_eq(guest_start(&guest, MERGED), 15);
	give_buffer(0, 2000);
	send_bytes(bytes + 700, size - 700);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 1500);
	cr_assert_eq(data_of(0)[HEADER + 1499], 'x');
}

Test(net_stream, one_pair)
{
	struct virtio_net_setup setup = { .pair_count = 2, .is_stream = true };

	cr_assert_eq(virtio_net_create(&setup, &device), -EINVAL);
}

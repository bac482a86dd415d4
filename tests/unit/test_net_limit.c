/* Rate limits of the network device, on packets and on a stream. What time does to a bucket is
 * tested in test_rate_limit.c; here a limit holds for longer than a test lasts, or for moments. */
#include "base/own.h"
#include "base/sys.h"
#include "devices/virtio_net.h"
#include "guest.h"
#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>

enum { RX = 0, TX = 1, HEADER = 12, BUFFER = 0x800, SIZE = 100 };
#define MERGED        (UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)
#define ONE_BYTE      ((struct rate_limit_config){ .bytes_rate = 1, .bytes_burst = 1 })
#define TWO_PACKETS   ((struct rate_limit_config){ .bytes_rate = 1, .bytes_burst = SIZE + SIZE / 2 })
#define EVERY_20_MS   ((struct rate_limit_config){ .operations_rate = 50, .operations_burst = 2 })
#define WITHOUT_LIMIT ((struct rate_limit_config){ 0 })

static struct guest guest;
static struct virtio_device *device;
static int ends[2];
static bool is_stream;

static void open_limited(unsigned pairs, struct rate_limit_config send,
			 struct rate_limit_config receive)
{
	struct virtio_net_setup setup = { .pair_count = pairs,
					  .mac = { 2, 0, 0, 0, 0, 7 },
					  .is_stream = is_stream,
					  .send_limit = send,
					  .receive_limit = receive };

	for (unsigned i = 0; i < pairs; i++) {
		int pair[2], kind = is_stream ? SOCK_STREAM : SOCK_SEQPACKET;

		cr_assert_eq(socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, pair), 0);
		setup.fds[i] = pair[0];
		ends[i] = pair[1];
	}
	cr_assert_eq(virtio_net_create(&setup, &device), 0);
	guest_open(&guest, device);
	cr_assert_eq(guest_start(&guest, MERGED), 15);
}

static void close_all(void)
{
	guest_close(&guest);
	close_fd(&ends[0]);
	close_fd(&ends[1]);
	is_stream = false;
}

/* Each test twice. */
#define LIMIT_TEST(name)                                                                           \
	static void test_##name(void);                                                             \
	Test(net_limit, name)                                                                      \
	{                                                                                          \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	Test(net_limit_stream, name)                                                               \
	{                                                                                          \
		is_stream = true;                                                                  \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	static void test_##name(void)

static size_t data_at(unsigned head)
{
	return GUEST_DATA + head * (size_t)BUFFER;
}

static void offer(unsigned queue, uint16_t head)
{
	memset(guest_ram + data_at(head), 0, HEADER);
	guest_set_desc(queue, head, data_at(head), queue % 2 ? HEADER + SIZE : BUFFER,
		       queue % 2 ? 0 : VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, queue, head);
}

static void send_one(uint16_t head)
{
	guest_ram[data_at(head) + HEADER] = (uint8_t)head;
	offer(TX, head);
	guest_kick(&guest, TX);
}

static void host_sends(uint8_t first)
{
	uint8_t packet[HEADER + SIZE] = { 0 };
	uint32_t length = htonl(SIZE);
	size_t header = is_stream ? sizeof length : HEADER;

	if (is_stream)
		memcpy(packet, &length, sizeof length);
	packet[header] = first;
	cr_assert_eq(write(ends[0], packet, header + SIZE), (long)(header + SIZE));
}

/* ---- out ---- */

LIMIT_TEST(packets_out_wait)
{
	open_limited(1, TWO_PACKETS, WITHOUT_LIMIT);
	for (uint16_t i = 0; i < 5; i++)
		send_one(i);
	guest_turn_until(&guest, device->delayed == 1);
	cr_assert_eq(guest_wait(&guest, TX).id, 0);
	guest_turn_until(&guest, guest_used_index(TX) >= 2);
	guest_turn(&guest);
	/* the second goes into debt, for a minute */
	cr_assert_eq(guest_used_index(TX), 2);
	cr_assert_eq(device->delayed, 1);
	offer(RX, 8);
	guest_kick(&guest, RX);
	host_sends(77);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + SIZE, "the other direction has its own");
	virtio_net_set_limits(device, &WITHOUT_LIMIT, &WITHOUT_LIMIT);
	guest_turn_until(&guest, guest_used_index(TX) == 5);
}

LIMIT_TEST(bytes_out_wait)
{
	open_limited(1, ONE_BYTE, WITHOUT_LIMIT);
	send_one(0);
	cr_assert_eq(guest_wait(&guest, TX).id, 0);
	send_one(1);
	guest_turn_until(&guest, device->delayed == 1);
	guest_turn(&guest);
	cr_assert_eq(guest_used_index(TX), 1);
	/* nobody gets a full bucket by a reset */
	cr_assert_eq(guest_start(&guest, MERGED), 15);
	send_one(0);
	guest_turn(&guest);
	cr_assert_eq(guest_used_index(TX), 0);
	virtio_net_set_limits(device, &WITHOUT_LIMIT, &WITHOUT_LIMIT);
	cr_assert_eq(guest_wait(&guest, TX).id, 0);
}

LIMIT_TEST(all_packets_out_go_in_time)
{
	uint64_t start = sys_monotonic_ns();
	uint8_t packet[SIZE + HEADER];

	open_limited(1, EVERY_20_MS, WITHOUT_LIMIT);
	for (uint16_t i = 0; i < 6; i++)
		send_one(i);
	for (uint8_t i = 0; i < 6; i++) {
		size_t size = SIZE + (is_stream ? sizeof(uint32_t) : HEADER);

		cr_assert_eq(guest_read_fd(&guest, ends[0], packet, size), (long)size);
		cr_assert_eq(packet[size - SIZE], i);
	}
	cr_assert_geq(sys_monotonic_ns() - start, 40000000);
	cr_assert_geq(device->delayed, 1);
}

/* A packet that cannot be one is no reason to wait, and is found when its turn has come. */
LIMIT_TEST(bad_packets_are_found)
{
	open_limited(1, ONE_BYTE, ONE_BYTE);
	guest_set_desc(TX, 0, data_at(0), 4, 0, 0);
	guest_offer(&guest, TX, 0);
	guest_kick(&guest, TX);
	guest_turn_until(&guest,
			 guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* ---- in ---- */

LIMIT_TEST(packets_in_wait)
{
	open_limited(1, WITHOUT_LIMIT, ONE_BYTE);
	for (uint16_t i = 0; i < 4; i++)
		offer(RX, i);
	guest_kick(&guest, RX);
	for (uint8_t i = 0; i < 3; i++)
		host_sends(i);
	cr_assert_eq(guest_wait(&guest, RX).id, 0);
	guest_turn_until(&guest, device->delayed == 1);
	offer(RX, 4);
	guest_kick(&guest, RX);
	guest_turn(&guest);
	cr_assert_eq(guest_used_index(RX), 1);
	cr_assert_eq(device->delayed, 1);
	virtio_net_set_limits(device, &WITHOUT_LIMIT, &WITHOUT_LIMIT);
	for (uint8_t i = 1; i < 3; i++) {
		struct vring_used_elem used = guest_wait(&guest, RX);

		cr_assert_eq(used.id, i);
		cr_assert_eq(used.len, HEADER + SIZE);
		cr_assert_eq(guest_ram[data_at(i) + HEADER], i);
	}
}

LIMIT_TEST(all_packets_in_come_in_time)
{
	open_limited(1, WITHOUT_LIMIT, EVERY_20_MS);
	for (uint8_t i = 0; i < 6; i++)
		host_sends(i);
	for (uint16_t i = 0; i < 6; i++)
		offer(RX, i);
	guest_kick(&guest, RX);
	for (uint8_t i = 0; i < 6; i++) {
		cr_assert_eq(guest_wait(&guest, RX).id, i);
		cr_assert_eq(guest_ram[data_at(i) + HEADER], i);
	}
	cr_assert_geq(device->delayed, 1);
}

LIMIT_TEST(reset_while_packets_wait)
{
	open_limited(1, ONE_BYTE, ONE_BYTE);
	for (int round = 0; round < 4; round++) {
		for (uint16_t i = 0; i < 3; i++)
			send_one(i);
		offer(RX, 3);
		guest_kick(&guest, RX);
		host_sends(1);
		host_sends(2);
		guest_turn(&guest);
		cr_assert_eq(guest_start(&guest, MERGED), 15);
		cr_assert_eq(guest_used_index(TX), 0);
	}
}

Test(net_limit, pairs_share_it)
{
	uint16_t count = 2;
	size_t at = data_at(40);
	uint64_t both =
	    MERGED | UINT64_C(1) << VIRTIO_NET_F_MQ | UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ;

	open_limited(2, TWO_PACKETS, WITHOUT_LIMIT);
	cr_assert_eq(guest_start(&guest, both), 15);
	guest_ram[at] = VIRTIO_NET_CTRL_MQ;
	guest_ram[at + 1] = 0;
	memcpy(guest_ram + at + 2, &count, sizeof count);
	guest_set_desc(4, 0, at, 4, VRING_DESC_F_NEXT, 1);
	guest_set_desc(4, 1, at + 8, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 4, 0);
	guest_kick(&guest, 4);
	cr_assert_eq(guest_wait(&guest, 4).len, 1);
	for (uint16_t i = 0; i < 3; i++) {
		offer(1, i);
		offer(3, i + 4);
	}
	guest_kick(&guest, 1);
	guest_kick(&guest, 3);
	guest_turn_until(&guest, device->delayed > 0);
	guest_turn(&guest);
	cr_assert_eq(guest_used_index(1) + guest_used_index(3), 2);
	virtio_net_set_limits(device, &WITHOUT_LIMIT, &WITHOUT_LIMIT);
	guest_turn_until(&guest, guest_used_index(1) == 3 && guest_used_index(3) == 3);
	close_all();
}

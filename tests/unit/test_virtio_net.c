/* The network device between a scripted driver and a socket that keeps packets apart, which plays
 * the tap. */
#include "base/own.h"
#include "devices/virtio_net.h"
#include "guest.h"
#include <linux/virtio_net.h>
#include <sys/socket.h>

enum {
	RX = 0,
	TX = 1,
	HEADER = 12,
	BUFFER = 0x1000, /* of one head */
	ANSWER = 0x80,   /* where in it a command's answer goes */
};
#define BIT(feature) (UINT64_C(1) << (feature))
#define USUAL                                                                                      \
	(BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |      \
	 BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_CTRL_VQ) | \
	 BIT(VIRTIO_NET_F_STATUS))

static struct guest guest;
static struct virtio_device *device;
static int ends[VIRTIO_NET_MAX_PAIRS]; /* the host's */

static void open_pairs(enum io_backend backend, unsigned pairs, uint64_t features)
{
	struct virtio_net_setup config = { .pair_count = pairs,
					   .mac = { 2, 0, 0, 0, 0, 7 },
					   .mtu = 1400 };

	for (unsigned i = 0; i < pairs; i++) {
		int pair[2];

		cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		config.fds[i] = pair[0];
		ends[i] = pair[1];
	}
	cr_assert_eq(virtio_net_create(&config, &device), 0);
	guest_open_backend(&guest, device, backend);
	cr_assert_eq(guest_start(&guest, features), 15);
}

static void close_all(void)
{
	guest_close(&guest);
	for (unsigned i = 0; i < VIRTIO_NET_MAX_PAIRS; i++)
		close_fd(&ends[i]);
}

#define NET_TEST(name)                                                                             \
	static void test_##name(void);                                                             \
	Test(virtio_net_auto, name)                                                                \
	{                                                                                          \
		open_pairs(IO_BACKEND_AUTO, 1, USUAL);                                             \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	Test(virtio_net_epoll, name)                                                               \
	{                                                                                          \
		open_pairs(IO_BACKEND_EPOLL, 1, USUAL);                                            \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	static void test_##name(void)

static size_t data_at(unsigned head)
{
	return GUEST_DATA + head * (size_t)BUFFER;
}

/* ---- the driver ---- */

static void offer_packet(uint16_t head, const struct virtio_net_hdr_v1 *header, const void *data,
			 uint32_t size)
{
	memcpy(guest_ram + data_at(head), header, sizeof *header);
	memcpy(guest_ram + data_at(head) + HEADER, data, size);
	guest_set_desc(TX, head, data_at(head), HEADER + size, 0, 0);
	guest_offer(&guest, TX, head);
}

static void send_text(uint16_t head, const char *text)
{
	offer_packet(head, &(struct virtio_net_hdr_v1){ 0 }, text, (uint32_t)strlen(text));
	guest_kick(&guest, TX);
}

static void give_buffer(uint16_t head, uint32_t size)
{
	guest_set_desc(RX, head, data_at(head), size, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, RX, head);
	guest_kick(&guest, RX);
}

static uint8_t command_on(unsigned queue, uint8_t class, uint8_t cmd, const void *data,
			  uint32_t size)
{
	size_t at = data_at(40);

	guest_ram[at] = class;
	guest_ram[at + 1] = cmd;
	memcpy(guest_ram + at + 2, data, size);
	guest_ram[at + ANSWER] = 77;
	guest_set_desc(queue, 0, at, 2, VRING_DESC_F_NEXT, 1);
	guest_set_desc(queue, 1, at + 2, size, VRING_DESC_F_NEXT, 2);
	guest_set_desc(queue, 2, at + ANSWER, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, queue, 0);
	guest_kick(&guest, queue);
	cr_assert_eq(guest_wait(&guest, queue).len, 1);
	return guest_ram[at + ANSWER];
}

static uint8_t command(uint8_t class, uint8_t cmd, const void *data, uint32_t size)
{
	return command_on(2, class, cmd, data, size);
}

static bool needs_reset(void)
{
	return guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static uint16_t config16(unsigned offset)
{
	uint16_t value;

	virtio_mmio_read(guest.mmio, VIRTIO_MMIO_CONFIG + offset, &value, sizeof value);
	return value;
}

/* ---- the host ---- */

static void assert_arrives(const char *text)
{
	uint8_t packet[256] = { 0 };

	cr_assert_eq(guest_read_fd(&guest, ends[0], packet, sizeof packet),
		     (long)(HEADER + strlen(text)));
	cr_assert_arr_eq(packet + HEADER, text, strlen(text));
}

/* A packet of `size` bytes behind its header, each byte telling where it is. */
static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

static void host_sends(unsigned pair, size_t size)
{
	static uint8_t packet[70000];
	const int room = 1 << 20;

	memset(packet, 0, HEADER);
	for (size_t i = 0; i < size; i++)
		packet[HEADER + i] = byte_at(i);
	(void)setsockopt(ends[pair], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	cr_assert_eq(write(ends[pair], packet, HEADER + size), (long)(HEADER + size));
}

/* ---- packets out ---- */

NET_TEST(packets_leave_in_order)
{
	struct virtio_net_hdr_v1 header = { 0 };

	for (uint16_t i = 0; i < 3; i++)
		offer_packet(i, &header, &"abc"[i], 1);
	guest_kick(&guest, TX);
	assert_arrives("a");
	assert_arrives("b");
	assert_arrives("c");
	for (uint32_t i = 0; i < 3; i++)
		cr_assert_eq(guest_wait(&guest, TX).id, i);
	send_text(5, "later");
	assert_arrives("later");
	cr_assert_eq(guest_wait(&guest, TX).id, 5);
	cr_assert_eq(guest_interrupt(&guest), 1);
}

NET_TEST(packet_in_pieces)
{
	size_t at = data_at(0);

	memcpy(guest_ram + at + 100, "hello", 5);
	guest_set_desc(TX, 0, at, 5, VRING_DESC_F_NEXT, 1);
	guest_set_desc(TX, 1, at + 5, 7, VRING_DESC_F_NEXT, 2);
	guest_set_desc(TX, 2, at + 100, 2, VRING_DESC_F_NEXT, 3);
	guest_set_desc(TX, 3, at + 102, 3, 0, 0);
	guest_offer(&guest, TX, 0);
	guest_kick(&guest, TX);
	assert_arrives("hello");
}

NET_TEST(header_is_handed_over)
{
	struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM |
						     VIRTIO_NET_HDR_F_RSC_INFO,
					    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					    .gso_size = 1448,
					    .csum_start = 34,
					    .csum_offset = 16,
					    .num_buffers = 9 },
				 seen;
	uint8_t packet[64];

	offer_packet(0, &header, "x", 1);
	guest_kick(&guest, TX);
	cr_assert_eq(guest_read_fd(&guest, ends[0], packet, sizeof packet), 13);
	memcpy(&seen, packet, sizeof seen);
	cr_assert_eq(seen.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	cr_assert_eq(seen.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	cr_assert_eq(seen.gso_size, 1448);
	cr_assert_eq(seen.csum_start, 34);
	cr_assert_eq(seen.num_buffers, 0);
}

/* The host's kernel is shown no kind of packet that was not agreed on. */
NET_TEST(packets_of_other_kinds_break_the_device)
{
	static const struct virtio_net_hdr_v1 wrong[] = {
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_UDP },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN },
		{ .gso_type = 5 },
		{ .gso_type = 0x7f },
	};
	uint8_t packet[64];

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		offer_packet(0, &wrong[i], "x", 1);
		guest_kick(&guest, TX);
		guest_turn_until(&guest, needs_reset());
		cr_assert_eq(guest_start(&guest, USUAL), 15);
	}
	cr_assert_eq(guest_start(&guest, 0), 15);
	offer_packet(0, &(struct virtio_net_hdr_v1){ .flags = 1 }, "x", 1);
	guest_kick(&guest, TX);
	guest_turn_until(&guest, needs_reset());
	cr_assert_eq(recv(ends[0], packet, sizeof packet, MSG_DONTWAIT), -1);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	send_text(0, "well again");
	assert_arrives("well again");
}

NET_TEST(packets_without_a_whole_header_break_the_device)
{
	for (uint32_t size = 0; size <= HEADER; size += 4) {
		guest_set_desc(TX, 0, data_at(0), size, 0, 0);
		guest_offer(&guest, TX, 0);
		guest_kick(&guest, TX);
		guest_turn_until(&guest, needs_reset());
		cr_assert_eq(guest_start(&guest, USUAL), 15);
	}
}

NET_TEST(packets_larger_than_any_break_the_device)
{
	for (unsigned i = 0; i < 4; i++)
		guest_set_desc(TX, i, 0x20000, 0x10000, i < 3 ? VRING_DESC_F_NEXT : 0,
			       (uint16_t)(i + 1));
	guest_offer(&guest, TX, 0);
	guest_kick(&guest, TX);
	guest_turn_until(&guest, needs_reset());
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	guest_desc(TX)[0] = (struct vring_desc){ GUEST_BASE, UINT32_MAX, 0, 0 };
	guest_offer(&guest, TX, 0);
	guest_kick(&guest, TX);
	guest_turn_until(&guest, needs_reset());
}

NET_TEST(writable_packets_and_readable_buffers_break_the_device)
{
	guest_set_desc(TX, 0, data_at(0), 64, VRING_DESC_F_NEXT, 1);
	guest_set_desc(TX, 1, data_at(1), 64, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, TX, 0);
	guest_kick(&guest, TX);
	guest_turn_until(&guest, needs_reset());
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	guest_set_desc(RX, 0, data_at(0), 64, 0, 0);
	guest_offer(&guest, RX, 0);
	guest_kick(&guest, RX);
	guest_turn_until(&guest, needs_reset());
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	give_buffer(0, HEADER - 1);
	guest_turn_until(&guest, needs_reset());
}

NET_TEST(slow_host_holds_the_guest_and_loses_nothing)
{
	enum { PACKETS = 200 };
	bool seen[PACKETS] = { 0 };
	unsigned offered = 0, got = 0;
	const int room = 4096;

	(void)setsockopt(ends[0], SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	while (got < PACKETS) {
		struct vring_used_elem used;
		uint8_t packet[2000], data[1500] = { 0 };
		bool full = offered - guest_used_index(TX) >= 16;

		if (offered < PACKETS && !full) {
			data[0] = (uint8_t)offered;
			offer_packet((uint16_t)(offered % 16), &(struct virtio_net_hdr_v1){ 0 },
				     data, sizeof data);
			guest_kick(&guest, TX);
			offered++;
		}
		while (guest_take(&guest, TX, &used))
			cr_assert_lt(used.id, 16);
		cr_assert_eq(io_turn(guest.io, full ? 2 : 0), 0);
		if ((full || offered == PACKETS) &&
		    recv(ends[0], packet, sizeof packet, MSG_DONTWAIT) == HEADER + 1500) {
			cr_assert_not(seen[packet[HEADER]]);
			seen[packet[HEADER]] = true;
			got++;
		}
	}
}

/* ---- packets in ---- */

static void assert_packet(uint32_t head, size_t offset, uint32_t size)
{
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(guest_ram[data_at(head) + (offset == 0 ? HEADER : 0) + i],
			     byte_at((offset == 0 ? 0 : offset - HEADER) + i), "%zu", i);
}

NET_TEST(packet_fills_one_buffer)
{
	struct vring_used_elem used;
	struct virtio_net_hdr_v1 header;

	give_buffer(3, 2000);
	guest_turn(&guest);
	cr_assert_eq(guest_used_index(RX), 0);
	host_sends(0, 1000);
	used = guest_wait(&guest, RX);
	cr_assert_eq(used.id, 3);
	cr_assert_eq(used.len, HEADER + 1000);
	memcpy(&header, guest_ram + data_at(3), sizeof header);
	cr_assert_eq(header.num_buffers, 1);
	assert_packet(3, 0, 1000);
	cr_assert_eq(guest_interrupt(&guest), 1);
}

NET_TEST(packets_wait_for_buffers)
{
	host_sends(0, 100);
	host_sends(0, 200);
	guest_turn(&guest);
	give_buffer(0, 2000);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 100);
	give_buffer(1, 2000);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 200);
}

NET_TEST(large_packet_takes_many_buffers)
{
	struct virtio_net_hdr_v1 header;
	uint32_t at = 0;

	for (uint16_t i = 0; i < 16; i++)
		give_buffer(i, 1500);
	host_sends(0, 16000);
	for (uint32_t i = 0; i < 11; i++) {
		struct vring_used_elem used = guest_wait(&guest, RX);

		cr_assert_eq(used.id, i);
		cr_assert_eq(used.len, i < 10 ? 1500 : 16000 + HEADER - 10 * 1500);
		assert_packet(i, at, i == 0 ? 1500 - HEADER : used.len);
		at += used.len;
	}
	memcpy(&header, guest_ram + data_at(0), sizeof header);
	cr_assert_eq(header.num_buffers, 11);
	host_sends(0, 10);
	cr_assert_eq(guest_wait(&guest, RX).id, 11);
}

/* The driver sees nothing of a packet before it has given buffers for all of it. */
NET_TEST(rest_of_a_packet_waits_for_buffers)
{
	struct virtio_net_hdr_v1 header;
	uint32_t at = 0;

	give_buffer(0, 600);
	guest_turn(&guest);
	host_sends(0, 2000);
	for (uint16_t i = 1; i < 4; i++) {
		guest_turn(&guest);
		cr_assert_eq(guest_used_index(RX), 0);
		give_buffer(i, 600);
	}
	for (uint32_t i = 0; i < 4; i++) {
		struct vring_used_elem used = guest_wait(&guest, RX);

		cr_assert_eq(used.id, i);
		assert_packet(i, at, i == 0 ? 600 - HEADER : used.len);
		at += used.len;
	}
	cr_assert_eq(at, HEADER + 2000);
	memcpy(&header, guest_ram + data_at(0), sizeof header);
	cr_assert_eq(header.num_buffers, 4);
}

NET_TEST(header_of_a_packet_in_small_pieces)
{
	struct virtio_net_hdr_v1 header;

	guest_set_desc(RX, 0, data_at(0), 11, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	guest_set_desc(RX, 1, data_at(0) + 11, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	guest_set_desc(RX, 2, data_at(0) + 12, 500, VRING_DESC_F_WRITE, 0);
	memset(guest_ram + data_at(0), 0xff, 600);
	guest_offer(&guest, RX, 0);
	guest_kick(&guest, RX);
	host_sends(0, 300);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 300);
	memcpy(&header, guest_ram + data_at(0), sizeof header);
	cr_assert_eq(header.num_buffers, 1);
	assert_packet(0, 0, 300);
	cr_assert_eq(guest_ram[data_at(0) + HEADER + 300], 0xff);
}

NET_TEST(many_small_packets_and_one_large)
{
	unsigned given = 0;

	for (; given < 16; given++)
		give_buffer((uint16_t)given, 1500);
	for (unsigned i = 0; i < 1000; i++) {
		host_sends(0, 60);
		cr_assert_eq(guest_wait(&guest, RX).id, i % 16);
		give_buffer((uint16_t)(given++ % 16), 1500);
	}
	host_sends(0, 14000);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(guest_wait(&guest, RX).id, (1000 + i) % 16);
	assert_packet(1000 % 16, 0, 1500 - HEADER);
	assert_packet(1009 % 16, 9 * 1500, 14000 + HEADER - 9 * 1500);
}

NET_TEST(without_merging_what_does_not_fit_is_dropped)
{
	cr_assert_eq(guest_start(&guest, 0), 15);
	give_buffer(0, 1500);
	give_buffer(1, 1500);
	host_sends(0, 3000);
	host_sends(0, 100);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 100);
	cr_assert_not(needs_reset());
}

NET_TEST(runt_from_the_host_is_dropped)
{
	give_buffer(0, 1500);
	cr_assert_eq(write(ends[0], "0123456789", 5), 5);
	host_sends(0, 100);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 100);
}

/* ---- control ---- */

NET_TEST(commands)
{
	uint8_t on = 1, mac[6] = { 2, 9, 9, 9, 9, 9 }, seen[6],
		table[] = { 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0 };
	uint32_t huge = UINT32_MAX;

	cr_assert_eq(command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1),
		     VIRTIO_NET_OK);
	cr_assert_eq(command(VIRTIO_NET_CTRL_RX, 6, &on, 1), VIRTIO_NET_ERR);
	cr_assert_eq(command(VIRTIO_NET_CTRL_RX, 0, mac, 2), VIRTIO_NET_ERR);
	cr_assert_eq(command(VIRTIO_NET_CTRL_RX, 0, mac, 0), VIRTIO_NET_ERR);
	cr_assert_eq(
	    command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof table),
	    VIRTIO_NET_OK);
	cr_assert_eq(
	    command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof table - 1),
	    VIRTIO_NET_ERR);
	cr_assert_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, &huge, 4),
		     VIRTIO_NET_ERR);
	cr_assert_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 5),
		     VIRTIO_NET_ERR);
	cr_assert_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6),
		     VIRTIO_NET_OK);
	for (unsigned i = 0; i < 6; i++)
		virtio_mmio_read(guest.mmio, VIRTIO_MMIO_CONFIG + i, &seen[i], 1);
	cr_assert_arr_eq(seen, mac, 6);
	cr_assert_eq(command(99, 0, mac, 6), VIRTIO_NET_ERR);
	cr_assert_eq(command(VIRTIO_NET_CTRL_MQ, 0, mac, 2), VIRTIO_NET_ERR);
	cr_assert_not(needs_reset());
}

NET_TEST(offloads_are_those_agreed_on)
{
	uint64_t wanted = BIT(VIRTIO_NET_F_GUEST_CSUM);

	cr_assert_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wanted, 8), VIRTIO_NET_ERR);
	cr_assert_eq(guest_start(&guest, USUAL | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS)), 15);
	cr_assert_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wanted, 8), VIRTIO_NET_OK);
	wanted |= BIT(VIRTIO_NET_F_GUEST_TSO6);
	cr_assert_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wanted, 8), VIRTIO_NET_ERR);
}

/* ---- link and life ---- */

NET_TEST(configuration)
{
	cr_assert_eq(config16(0), 2);
	cr_assert_eq(config16(6), VIRTIO_NET_S_LINK_UP);
	cr_assert_eq(config16(8), 1);
	cr_assert_eq(config16(10), 1400);
}

NET_TEST(host_that_is_gone_takes_the_link_down)
{
	give_buffer(0, 1500);
	close_fd(&ends[0]);
	guest_turn_until(&guest, config16(6) == 0);
	cr_assert_eq(guest_interrupt(&guest), 2);
	send_text(0, "nobody");
	cr_assert_eq(guest_wait(&guest, TX).id, 0);
	give_buffer(1, 1500);
	virtio_net_set_link(device, true);
	guest_turn(&guest);
	cr_assert_eq(config16(6), 0);
	cr_assert_not(needs_reset());
	cr_assert_eq(guest_start(&guest, USUAL), 15);
}

NET_TEST(packet_for_a_host_that_is_gone)
{
	close_fd(&ends[0]);
	send_text(0, "nobody");
	cr_assert_eq(guest_wait(&guest, TX).id, 0);
	guest_turn_until(&guest, config16(6) == 0);
}

NET_TEST(cable_out_and_in)
{
	uint8_t packet[64];

	cr_assert_eq(guest_start(&guest, USUAL | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE)), 15);
	give_buffer(0, 1500);
	guest_turn(&guest);
	virtio_net_set_link(device, false);
	cr_assert_eq(config16(6), 0);
	for (uint16_t i = 0; i < 16; i++)
		send_text(i, "lost");
	for (uint16_t i = 0; i < 16; i++)
		cr_assert_eq(guest_wait(&guest, TX).id, i);
	cr_assert_eq(recv(ends[0], packet, sizeof packet, MSG_DONTWAIT), -1);
	virtio_net_set_link(device, true);
	cr_assert_eq(config16(6), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	cr_assert_eq(command(VIRTIO_NET_CTRL_ANNOUNCE, 0, "", 0), VIRTIO_NET_OK);
	cr_assert_eq(config16(6), VIRTIO_NET_S_LINK_UP);
	host_sends(0, 99);
	cr_assert_eq(guest_wait(&guest, RX).len, HEADER + 99);
	send_text(0, "there");
	assert_arrives("there");
}

NET_TEST(reset_with_packets_on_their_way)
{
	char text[1001];
	const int room = 4096;

	memset(text, 'x', sizeof text);
	text[1000] = 0;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	for (int round = 0; round < 8; round++) {
		for (uint16_t i = 0; i < 16; i++)
			send_text(i, text);
		give_buffer(0, 100);
		guest_turn(&guest);
		host_sends(0, 1000); /* more than there are buffers for */
		if (round % 2)
			guest_turn(&guest);
		cr_assert_eq(guest_start(&guest, USUAL), 15);
		cr_assert_eq(guest_used_index(TX), 0);
		cr_assert_eq(guest_used_index(RX), 0);
	}
}

/* ---- several pairs ---- */

static void test_pairs(enum io_backend backend)
{
	uint64_t features = USUAL | BIT(VIRTIO_NET_F_MQ);
	uint16_t count = 2, none = 0, many = 3;

	open_pairs(backend, 2, features);
	cr_assert_eq(config16(8), 2);
	guest_set_desc(2, 0, data_at(8), 1500, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 2, 0);
	guest_kick(&guest, 2);
	host_sends(1, 50);
	guest_turn(&guest);
	cr_assert_eq(guest_used_index(2), 0);
	cr_assert_eq(command_on(4, VIRTIO_NET_CTRL_MQ, 0, &none, 2), VIRTIO_NET_ERR);
	cr_assert_eq(command_on(4, VIRTIO_NET_CTRL_MQ, 0, &many, 2), VIRTIO_NET_ERR);
	cr_assert_eq(command_on(4, VIRTIO_NET_CTRL_MQ, 0, &count, 2), VIRTIO_NET_OK);
	cr_assert_eq(guest_wait(&guest, 2).len, HEADER + 50);
	/* a driver that knows of one pair has its control queue behind that */
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	cr_assert_eq(command(VIRTIO_NET_CTRL_MQ, 0, &count, 2), VIRTIO_NET_ERR);
	guest_kick(&guest, 4);
	guest_turn_until(&guest, needs_reset());
	close_all();
}

Test(virtio_net_auto, pairs)
{
	test_pairs(IO_BACKEND_AUTO);
}

Test(virtio_net_epoll, pairs)
{
	test_pairs(IO_BACKEND_EPOLL);
}

Test(virtio_net, pair_counts)
{
	struct virtio_net_setup config = { .pair_count = 0 };

	cr_assert_eq(virtio_net_create(&config, &device), -EINVAL);
	config.pair_count = VIRTIO_NET_MAX_PAIRS + 1;
	cr_assert_eq(virtio_net_create(&config, &device), -EINVAL);
	config = (struct virtio_net_setup){ .pair_count = 1, .fds = { -1 } };
	cr_assert_eq(virtio_net_create(&config, &device), -EBADF);
}

/* The network device and what a tap answers: a socket pair whose ioctls are answered here, as an
 * older or a newer kernel would. */
#include "base/own.h"
#include "devices/virtio_net.h"
#include "guest.h"
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define BIT(feature) (UINT64_C(1) << (feature))
/* Numbers of the specification (5.1.3) and of <linux/if_tun.h> since Linux 6.2. */
enum { GUEST_USO4 = 54, GUEST_USO6 = 55, HOST_USO = 56, TUN_USO4 = 0x20, TUN_USO6 = 0x40 };
enum { TX = 1, HEADER = 12, GSO_UDP_L4 = 5 };
#define USO (BIT(GUEST_USO4) | BIT(GUEST_USO6) | BIT(HOST_USO))

static struct {
	unsigned long known; /* offloads */
	short flags;         /* of the interface */
	unsigned long offloads;
	int header_size;
} tap;

static int answer(unsigned long request, void *argument)
{
	unsigned long offloads = (unsigned long)(uintptr_t)argument;

	switch (request) {
	case TUNGETIFF:
		((struct ifreq *)argument)->ifr_flags = tap.flags;
		return 0;
	case TUNSETVNETHDRSZ:
		tap.header_size = *(int *)argument;
		return 0;
	case TUNSETOFFLOAD:
		if (offloads & ~tap.known)
			return -1;
		tap.offloads = offloads;
		return 0;
	default:
		return -1;
	}
}

/* In the place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *argument;

	(void)fd;
	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	errno = EINVAL;
	return answer(request, argument);
}

static struct guest guest;
static struct virtio_device *device;
static int end;

static int create(unsigned long known, short flags)
{
	struct virtio_net_setup setup = { .pair_count = 1, .mac = { 2, 0, 0, 0, 0, 7 } };
	int pair[2], r;

	tap.known = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | known;
	tap.flags = flags;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	setup.fds[0] = pair[0];
	end = pair[1];
	r = virtio_net_create(&setup, &device);
	if (r < 0) {
		close_fd(&pair[0]);
		close_fd(&end);
	}
	return r;
}

static void open_tap(unsigned long known)
{
	cr_assert_eq(create(known, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR), 0);
	guest_open(&guest, device);
}

static void close_all(void)
{
	guest_close(&guest);
	close_fd(&end);
}

static uint64_t offered(void)
{
	uint64_t low, high;

	guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES);
	guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	high = guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES);
	return low | high << 32;
}

Test(net_tap, a_tap_without_uso)
{
	uint64_t tso = BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6);

	open_tap(0);
	cr_assert_eq(tap.header_size, HEADER);
	cr_assert_eq(offered() & (USO | tso), tso);
	close_all();
}

/* The tap knows both kinds or none (tun's set_offload). */
Test(net_tap, a_tap_with_half_of_uso)
{
	open_tap(TUN_USO4);
	cr_assert_eq(offered() & USO, 0);
	close_all();
}

Test(net_tap, a_tap_with_uso)
{
	open_tap(TUN_USO4 | TUN_USO6);
	cr_assert_eq(offered() & USO, USO);
	cr_assert_eq(guest_start(&guest, offered() & 0xffffffffff000000), 15);
	close_all();
}

/* The tap is told at DRIVER_OK what the driver takes. */
Test(net_tap, offloads_follow_the_driver)
{
	uint64_t checksums = BIT(VIRTIO_NET_F_GUEST_CSUM);

	open_tap(TUN_USO4 | TUN_USO6);
	cr_assert_eq(guest_start(&guest, 0), 15);
	cr_assert_eq(tap.offloads, 0);
	cr_assert_eq(guest_start(&guest, checksums | BIT(VIRTIO_NET_F_GUEST_TSO4)), 15);
	cr_assert_eq(tap.offloads, TUN_F_CSUM | TUN_F_TSO4);
	cr_assert_eq(guest_start(&guest, checksums | BIT(GUEST_USO4) | BIT(GUEST_USO6)), 15);
	cr_assert_eq(tap.offloads, TUN_F_CSUM | TUN_USO4 | TUN_USO6);
	cr_assert_eq(guest_start(&guest, checksums | BIT(GUEST_USO4)), 15);
	cr_assert_eq(tap.offloads, TUN_F_CSUM, "half of it is none");
	cr_assert_eq(guest_start(&guest, BIT(GUEST_USO4) | BIT(GUEST_USO6)), 15);
	cr_assert_eq(tap.offloads, 0, "segments need checksums");
	close_all();
}

static void send_datagrams(void)
{
	struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					    .gso_type = GSO_UDP_L4,
					    .gso_size = 1000,
					    .csum_start = 34,
					    .csum_offset = 6 };

	memcpy(guest_ram + GUEST_DATA, &header, sizeof header);
	guest_set_desc(TX, 0, GUEST_DATA, HEADER + 3000, 0, 0);
	guest_offer(&guest, TX, 0);
	guest_kick(&guest, TX);
}

Test(net_tap, datagrams_in_one_packet)
{
	uint64_t features = BIT(VIRTIO_NET_F_CSUM);
	uint8_t packet[4000];

	open_tap(TUN_USO4 | TUN_USO6);
	cr_assert_eq(guest_start(&guest, features | BIT(HOST_USO)), 15);
	send_datagrams();
	cr_assert_eq(guest_read_fd(&guest, end, packet, sizeof packet), HEADER + 3000);
	cr_assert_eq(guest_start(&guest, features), 15);
	send_datagrams();
	guest_turn_until(&guest,
			 guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	close_all();
}

Test(net_tap, no_taps)
{
	cr_assert_eq(create(0, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR), -EINVAL);
	cr_assert_eq(create(0, IFF_TAP | IFF_NO_PI), -EINVAL);
	cr_assert_eq(create(0, IFF_TAP | IFF_VNET_HDR), -EINVAL);
}

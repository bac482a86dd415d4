/* The network device with vhost-net: ioctls of the tap and of vhost are answered here and written
 * down, so that each test sees what the kernel would have been told. */
#include "base/own.h"
#include "base/sys.h"
#include "devices/virtio_net.h"
#include "guest.h"
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#define BIT(feature) (UINT64_C(1) << (feature))
#define NEEDED                                                                                     \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) |                                  \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define USUAL                                                                                      \
	(BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_STATUS) |      \
	 BIT(VIRTIO_RING_F_EVENT_IDX))
enum { RX, TX, CONTROL, PAIRS = 2 };

/* What the kernel knows of one queue; of each pair, two. */
struct queue {
	struct vhost_vring_addr place;
	unsigned size, base;
	int kick, interrupt, error, backend;
};

static struct {
	uint64_t features, accepted;
	unsigned long refused; /* this request fails */
	unsigned owned, memory_tables, regions;
	struct vhost_memory_region region;
	struct queue queues[2 * PAIRS];
	bool is_tap_gone;
} kernel;
static int vhost_fds[PAIRS];

static struct queue *queue_of(int fd, unsigned index)
{
	unsigned pair = fd == vhost_fds[0] ? 0 : 1;

	cr_assert_lt(index, 2);
	return &kernel.queues[2 * pair + index];
}

static int set_file(int fd, unsigned long request, const struct vhost_vring_file *file)
{
	struct queue *queue = queue_of(fd, file->index);

	switch (request) {
	case VHOST_SET_VRING_KICK:
		queue->kick = file->fd;
		break;
	case VHOST_SET_VRING_CALL:
		queue->interrupt = file->fd;
		break;
	case VHOST_SET_VRING_ERR:
		queue->error = file->fd;
		break;
	default:
		cr_assert(file->fd < 0 || (queue->size > 0 && queue->place.desc_user_addr &&
					   queue->kick > 0 && queue->interrupt > 0));
		queue->backend = file->fd;
		break;
	}
	return 0;
}

static int set_state(int fd, unsigned long request, const struct vhost_vring_state *state)
{
	struct queue *queue = queue_of(fd, state->index);

	if (queue->backend >= 0) { /* as the kernel does */
		errno = EBUSY;
		return -1;
	}
	*(request == VHOST_SET_VRING_NUM ? &queue->size : &queue->base) = state->num;
	return 0;
}

static int tap(unsigned long request, void *argument)
{
	if (kernel.is_tap_gone) {
		errno = EBADFD;
		return -1;
	}
	if (request == TUNGETIFF)
		((struct ifreq *)argument)->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	return 0;
}

static int answer(int fd, unsigned long request, void *argument)
{
	switch (request) {
	case VHOST_SET_OWNER:
		kernel.owned++;
		return 0;
	case VHOST_GET_FEATURES:
		memcpy(argument, &kernel.features, sizeof kernel.features);
		return 0;
	case VHOST_SET_FEATURES:
		memcpy(&kernel.accepted, argument, sizeof kernel.accepted);
		return 0;
	case VHOST_SET_MEM_TABLE:
		kernel.memory_tables++;
		kernel.regions = ((struct vhost_memory *)argument)->nregions;
		kernel.region = ((struct vhost_memory *)argument)->regions[0];
		return 0;
	case VHOST_SET_VRING_NUM:
	case VHOST_SET_VRING_BASE:
		return set_state(fd, request, argument);
	case VHOST_SET_VRING_ADDR:
		queue_of(fd, ((struct vhost_vring_addr *)argument)->index)->place =
		    *(struct vhost_vring_addr *)argument;
		return 0;
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
	case VHOST_NET_SET_BACKEND:
		return set_file(fd, request, argument);
	default:
		return tap(request, argument);
	}
}

/* In the place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *argument;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (request == kernel.refused) {
		errno = EIO;
		return -1;
	}
	return answer(fd, request, argument);
}

static struct guest guest;
static struct virtio_device *device;
static int tap_fds[PAIRS];

static int create(unsigned pairs, uint64_t features, struct rate_limit_config limit)
{
	struct virtio_net_setup setup = { .pair_count = pairs,
					  .mac = { 2, 0, 0, 0, 0, 7 },
					  .is_vhost = true,
					  .receive_limit = limit };
	int r;

	memset(&kernel, 0, sizeof kernel);
	kernel.features = features;
	for (unsigned i = 0; i < 2 * PAIRS; i++)
		kernel.queues[i].backend = -1;
	for (unsigned i = 0; i < pairs; i++) {
		setup.fds[i] = tap_fds[i] = sys_eventfd();
		setup.vhost_fds[i] = vhost_fds[i] = sys_eventfd();
	}
	r = virtio_net_create(&setup, &device);
	for (unsigned i = 0; r < 0 && i < pairs; i++) {
		close_fd(&tap_fds[i]);
		close_fd(&vhost_fds[i]);
	}
	return r;
}

static void open_pairs(unsigned pairs)
{
	cr_assert_eq(create(pairs, NEEDED, (struct rate_limit_config){ 0 }), 0);
	guest_open(&guest, device);
}

static bool needs_reset(void)
{
	return guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static uint16_t status(void)
{
	uint16_t value;

	virtio_mmio_read(guest.mmio, VIRTIO_MMIO_CONFIG + 6, &value, sizeof value);
	return value;
}

static unsigned running(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < 2 * PAIRS; i++)
		count += kernel.queues[i].backend >= 0;
	return count;
}

Test(net_vhost, queues_are_handed_over)
{
	open_pairs(1);
	cr_assert_eq(kernel.owned, 1);
	cr_assert_eq(running(), 0);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	cr_assert_eq(kernel.accepted, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
					  BIT(VIRTIO_RING_F_EVENT_IDX));
	cr_assert_eq(kernel.regions, 1);
	cr_assert_eq(kernel.region.guest_phys_addr, GUEST_BASE);
	cr_assert_eq(kernel.region.memory_size, GUEST_RAM);
	cr_assert_eq(kernel.region.userspace_addr, (uintptr_t)guest_ram);
	for (unsigned i = RX; i <= TX; i++) {
		const struct queue *queue = &kernel.queues[i];

		cr_assert_eq(queue->backend, tap_fds[0]);
		cr_assert_eq(queue->size, guest.queue_size);
		cr_assert_eq(queue->place.desc_user_addr, (uintptr_t)guest_desc(i));
		cr_assert_eq(queue->place.avail_user_addr, (uintptr_t)guest_avail(i));
		cr_assert_eq(queue->place.used_user_addr, (uintptr_t)guest_used(i));
		cr_assert_eq(queue->interrupt, guest.irq_fd);
		cr_assert_eq(queue->kick, virtio_mmio_kick_fd(guest.mmio, i));
	}
	cr_assert(guest_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_VRING);
	guest_close(&guest);
}

Test(net_vhost, kicks_are_left_to_the_kernel)
{
	uint64_t ticks = 0;

	open_pairs(1);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	guest_kick(&guest, TX);
	guest_kick(&guest, RX);
	guest_turn(&guest);
	cr_assert_eq(read(virtio_mmio_kick_fd(guest.mmio, TX), &ticks, sizeof ticks), 8);
	cr_assert_eq(read(virtio_mmio_kick_fd(guest.mmio, RX), &ticks, sizeof ticks), 8);
	cr_assert_eq(device->stats[TX].kicks, 0);
	guest_close(&guest);
}

static uint8_t command(unsigned queue, uint8_t class, uint8_t cmd, const void *data, uint32_t size)
{
	size_t at = 0x20000;

	guest_ram[at] = class;
	guest_ram[at + 1] = cmd;
	memcpy(guest_ram + at + 2, data, size);
	guest_ram[at + 100] = 77;
	guest_set_desc(queue, 0, at, 2 + size, VRING_DESC_F_NEXT, 1);
	guest_set_desc(queue, 1, at + 100, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, queue, 0);
	guest_kick(&guest, queue);
	(void)guest_wait(&guest, queue);
	return guest_ram[at + 100];
}

Test(net_vhost, commands_are_answered_here)
{
	uint8_t on = 1;

	open_pairs(1);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	cr_assert_eq(command(CONTROL, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1),
		     VIRTIO_NET_OK);
	guest_close(&guest);
}

Test(net_vhost, pairs)
{
	uint16_t count = 2;

	open_pairs(2);
	cr_assert_eq(kernel.owned, 2);
	cr_assert_eq(guest_start(&guest, USUAL | BIT(VIRTIO_NET_F_MQ)), 15);
	cr_assert_eq(running(), 4);
	cr_assert_eq(kernel.queues[3].backend, tap_fds[1]);
	cr_assert_eq(kernel.queues[3].place.desc_user_addr, (uintptr_t)guest_desc(3));
	cr_assert_eq(command(4, VIRTIO_NET_CTRL_MQ, 0, &count, 2), VIRTIO_NET_OK);
	guest_close(&guest);
}

Test(net_vhost, reset_takes_the_queues_back)
{
	open_pairs(1);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(guest_start(&guest, USUAL), 15);
		cr_assert_eq(running(), 2);
		kernel.queues[TX].base = 99;
		guest_write(&guest, VIRTIO_MMIO_STATUS, 0);
		cr_assert_eq(running(), 0);
	}
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	cr_assert_eq(kernel.queues[TX].base, 0, "a queue begins at its beginning");
	guest_close(&guest);
	cr_assert_eq(running(), 0);
}

/* Each step may fail: the guest has to reset, and nothing runs. */
Test(net_vhost, refusals_of_the_kernel)
{
	static const unsigned long steps[] = {
		VHOST_SET_FEATURES,   VHOST_SET_MEM_TABLE,  VHOST_SET_VRING_NUM,
		VHOST_SET_VRING_BASE, VHOST_SET_VRING_ADDR, VHOST_SET_VRING_KICK,
		VHOST_SET_VRING_CALL, VHOST_SET_VRING_ERR,  VHOST_NET_SET_BACKEND,
	};

	open_pairs(1);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		guest_write(&guest, VIRTIO_MMIO_STATUS, 0);
		kernel.refused = steps[i];
		(void)guest_start(&guest, USUAL);
		cr_assert(needs_reset(), "%zu", i);
		cr_assert_eq(running(), 0);
		kernel.refused = 0;
		cr_assert_eq(guest_start(&guest, USUAL), 15, "%zu", i);
		cr_assert_eq(running(), 2);
	}
	guest_close(&guest);
}

Test(net_vhost, a_complaint_breaks_the_device)
{
	uint64_t one = 1;

	open_pairs(1);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	cr_assert_eq(write(kernel.queues[TX].error, &one, sizeof one), 8);
	guest_turn_until(&guest, needs_reset());
	cr_assert_eq(running(), 0);
	virtio_net_set_link(device, false);
	virtio_net_set_link(device, true);
	cr_assert_eq(running(), 0);
	guest_close(&guest);
}

Test(net_vhost, cable_out_and_in)
{
	open_pairs(1);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	kernel.queues[TX].base = 5;
	virtio_net_set_link(device, false);
	cr_assert_eq(running(), 0);
	cr_assert_eq(status(), 0);
	virtio_net_set_link(device, true);
	cr_assert_eq(running(), 2);
	cr_assert_eq(kernel.queues[TX].base, 5, "it goes on where it was");
	virtio_net_set_link(device, false);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	cr_assert_eq(running(), 0, "a reset does not put it in");
	guest_close(&guest);
}

Test(net_vhost, a_tap_that_is_gone)
{
	open_pairs(1);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	kernel.is_tap_gone = true;
	guest_turn_until(&guest, status() == 0);
	cr_assert_eq(running(), 0);
	cr_assert_not(needs_reset());
	guest_close(&guest);
}

Test(net_vhost, more_memory)
{
	open_pairs(1);
	virtio_net_memory_changed(device);
	cr_assert_eq(kernel.memory_tables, 0);
	cr_assert_eq(guest_start(&guest, USUAL), 15);
	virtio_net_memory_changed(device);
	cr_assert_eq(kernel.memory_tables, 2);
	cr_assert_eq(running(), 2);
	guest_close(&guest);
}

Test(net_vhost, what_it_cannot_do)
{
	const struct rate_limit_config none = { 0 }, some = { .operations_rate = 1 };

	cr_assert_eq(create(1, NEEDED & ~BIT(VIRTIO_NET_F_MRG_RXBUF), none), -EOPNOTSUPP);
	cr_assert_eq(create(1, NEEDED & ~BIT(VIRTIO_RING_F_EVENT_IDX), none), -EOPNOTSUPP);
	cr_assert_eq(create(1, NEEDED, some), -EINVAL);
}

#include "devices/virtio_rng.h"
#include "guest.h"
#include <pthread.h>

static struct guest guest;

static void setup(void)
{
	struct virtio_device *device;

	cr_assert_eq(virtio_rng_create(&(struct rate_limit_config){ 0 }, &device), 0);
	guest_open(&guest, device);
}

static void finish(void)
{
	guest_close(&guest);
}

TestSuite(mmio, .init = setup, .fini = finish);

static void offer_buffer(uint16_t head)
{
	guest_set_desc(0, head, GUEST_DATA + head * 256U, 64, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, head);
}

Test(mmio, says_what_it_is)
{
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_VERSION), 2);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_ID), 4);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	cr_assert(guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES) & 1);
	guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_SEL, 1);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_NUM, 8);
}

Test(mmio, a_late_device_is_seen_by_the_second_look)
{
	struct virtio_mmio *early = guest.mmio;
	struct virtio_device *device;

	cr_assert_eq(virtio_rng_create(&(struct rate_limit_config){ 0 }, &device), 0);
	cr_assert_eq(virtio_mmio_create(&(struct virtio_mmio_config){ .device = device,
								      .mem = &guest.mem,
								      .io = guest.io,
								      .irq_fd = guest.irq_fd,
								      .late = true },
					&guest.mmio),
		     0);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_VERSION), 2);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_ID), 0);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_ID), 4);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_ID), 4);
	cr_assert_eq(guest_start(&guest, 0), 15);
	virtio_mmio_destroy(guest.mmio);
	guest.mmio = early;
}

Test(mmio, widths_are_strict)
{
	uint64_t wide = UINT64_MAX;
	uint16_t half = 15;

	virtio_mmio_read(guest.mmio, VIRTIO_MMIO_MAGIC_VALUE, &wide, 8);
	cr_assert_eq(wide, 0);
	virtio_mmio_read(guest.mmio, VIRTIO_MMIO_MAGIC_VALUE, &wide, 1);
	cr_assert_eq(wide, 0);
	virtio_mmio_read(guest.mmio, VIRTIO_MMIO_MAGIC_VALUE + 2, &wide, 4);
	cr_assert_eq(wide, 0);
	virtio_mmio_write(guest.mmio, VIRTIO_MMIO_STATUS, &half, 2);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 0);
	virtio_mmio_read(guest.mmio, VIRTIO_MMIO_SIZE - 4, &wide, 4);
	cr_assert_eq(wide, 0);
}

Test(mmio, rng_fills_and_interrupts)
{
	struct vring_used_elem used;

	cr_assert_eq(guest_start(&guest, 0), 15);
	offer_buffer(0);
	guest_kick(&guest, 0);
	used = guest_wait(&guest, 0);
	cr_assert_eq(used.id, 0);
	cr_assert_eq(used.len, 64);
	cr_assert_eq(guest_interrupt(&guest), VIRTIO_MMIO_INT_VRING);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

/* Some buffers are filled, then none for a very long time: the rest stays the driver's to take back
 * by a reset. */
Test(mmio, rng_is_limited)
{
	const struct rate_limit_config slow = { .bytes_rate = 1, .bytes_burst = 1024 };
	struct virtio_mmio *other = guest.mmio;
	struct virtio_device *device;

	cr_assert_eq(virtio_rng_create(&slow, &device), 0);
	cr_assert_eq(virtio_mmio_create(&(struct virtio_mmio_config){ .device = device,
								      .mem = &guest.mem,
								      .io = guest.io,
								      .irq_fd = guest.irq_fd },
					&guest.mmio),
		     0);
	cr_assert_eq(guest_start(&guest, 0), 15);
	for (uint16_t i = 0; i < 8; i++)
		offer_buffer(i);
	guest_kick(&guest, 0);
	guest_turn_until(&guest, device->delayed > 0);
	guest_kick(&guest, 0);
	guest_turn(&guest);
	cr_assert_geq(guest_used_index(0), 4); /* what it may save up */
	cr_assert_lt(guest_used_index(0), 8);
	cr_assert_eq(device->delayed, 1);

	cr_assert_eq(guest_start(&guest, 0), 15); /* the timer is gone, the rest is not */
	offer_buffer(0);
	guest_kick(&guest, 0);
	guest_turn_until(&guest, device->delayed > 1);
	cr_assert_eq(guest_used_index(0), 0);
	virtio_mmio_destroy(guest.mmio);
	guest.mmio = other;
}

Test(mmio, one_edge_until_acknowledged)
{
	uint64_t edges = 0;

	cr_assert_eq(guest_start(&guest, 0), 15);
	for (uint16_t i = 0; i < 3; i++) {
		offer_buffer(i);
		guest_kick(&guest, 0);
		(void)guest_wait(&guest, 0);
	}
	cr_assert_eq(read(guest.irq_fd, &edges, sizeof edges), sizeof edges);
	cr_assert_eq(edges, 1);
}

Test(mmio, features_freeze)
{
	guest_write(&guest, VIRTIO_MMIO_STATUS, 3);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* not offered */
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 11);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 3);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 15);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 3);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES, 0);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 11);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 11);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* too late */
	guest_write(&guest, VIRTIO_MMIO_STATUS, 15);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 15);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 1); /* bits are never taken away */
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 15);
}

Test(mmio, registers_changed_after_activation_mean_nothing)
{
	cr_assert_eq(guest_start(&guest, 0), 15);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_SEL, 0);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_READY, 0);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_NUM, 1);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_USED_LOW, 0xfffffffc);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_QUEUE_READY), 1);
	offer_buffer(0);
	guest_kick(&guest, 0);
	cr_assert_eq(guest_wait(&guest, 0).len, 64);
}

Test(mmio, queue_outside_of_memory_needs_reset)
{
	guest_write(&guest, VIRTIO_MMIO_STATUS, 3);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 11);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_NUM, 8);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0xffffffff);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_READY, 1);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 15);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 15 | 64);
	cr_assert_eq(guest_interrupt(&guest), VIRTIO_MMIO_INT_CONFIG);
	guest_kick(&guest, 0);
	guest_turn(&guest);
	cr_assert_eq(guest_start(&guest, 0), 15);
}

Test(mmio, broken_queue_then_reset_then_works)
{
	cr_assert_eq(guest_start(&guest, 0), 15);
	guest_set_desc(0, 0, GUEST_RAM, 64, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	guest_turn_until(&guest, guest_read(&guest, VIRTIO_MMIO_STATUS) == (15 | 64));
	cr_assert_eq(guest_interrupt(&guest), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(guest_start(&guest, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX), 15);
	offer_buffer(0);
	guest_kick(&guest, 0);
	cr_assert_eq(guest_wait(&guest, 0).len, 64);
}

Test(mmio, kick_for_a_queue_that_is_not_there)
{
	cr_assert_eq(guest_start(&guest, 0), 15);
	guest_kick(&guest, 1);
	guest_kick(&guest, UINT32_MAX);
	guest_turn(&guest);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 15);
}

static void *vcpu(void *argument)
{
	for (int i = 0; i < 200; i++) {
		guest_write(&guest, VIRTIO_MMIO_STATUS, 0);
		guest_write(&guest, VIRTIO_MMIO_STATUS, 3);
		guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
		guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES, 1);
		guest_write(&guest, VIRTIO_MMIO_STATUS, 11);
		guest_set_queue(&guest, 0);
		guest_write(&guest, VIRTIO_MMIO_STATUS, 15);
		guest_kick(&guest, 0);
	}
	return argument;
}

static void *device_thread(void *argument)
{
	cr_assert_eq(io_run(guest.io), 0);
	return argument;
}

Test(mmio, reset_from_any_vcpu_at_any_time)
{
	pthread_t vcpus[3], loop;

	cr_assert_eq(guest_start(&guest, 0), 15);
	offer_buffer(0);
	cr_assert_eq(pthread_create(&loop, NULL, device_thread, NULL), 0);
	while (guest_used_index(0) == 0 && guest_read(&guest, VIRTIO_MMIO_STATUS) == 15)
		guest_kick(&guest, 0); /* the loop is attached once it serves */
	for (int i = 0; i < 3; i++)
		cr_assert_eq(pthread_create(&vcpus[i], NULL, vcpu, NULL), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(pthread_join(vcpus[i], NULL), 0);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 0);
	io_stop(guest.io);
	cr_assert_eq(pthread_join(loop, NULL), 0);
}

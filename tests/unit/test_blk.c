#include "base/own.h"
#include "base/sys.h"
#include "devices/kick_batch.h"
#include "devices/virtio_blk.h"
#include "guest.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
	SECTOR = 512,
	DISK_SECTORS = 64,
	HEADER = GUEST_DATA,
	STATUS = GUEST_DATA + 0x100,
	DATA = GUEST_DATA + 0x1000,
	IN = 0,
	OUT = 1,
	FLUSH = 4,
	GET_ID = 8,
	DISCARD = 11,
	ZEROES = 13,
};
#define FEATURE_FLUSH (UINT64_C(1) << 9)

static struct guest guest;
static int disk;
static struct virtio_device *device;

static void open_limited(bool read_only, off_t size, enum io_backend backend,
			 struct rate_limit_config limit)
{
	struct virtio_blk_config config = { .read_only = read_only,
					    .serial = "layer-0123456789abcd",
					    .limit = limit };

	disk = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(disk, size), 0);
	config.fd = dup(disk);
	cr_assert_eq(virtio_blk_create(&config, &device), 0);
	guest_open_backend(&guest, device, backend);
	cr_assert_eq(guest_start(&guest, read_only ? 0 : FEATURE_FLUSH), 15);
}

static void open_with(bool read_only, off_t size, enum io_backend backend)
{
	open_limited(read_only, size, backend, (struct rate_limit_config){ 0 });
}

static void setup(void)
{
	open_with(false, DISK_SECTORS * SECTOR, IO_BACKEND_AUTO);
}

static void finish(void)
{
	guest_close(&guest);
	close(disk);
}

TestSuite(blk, .init = setup, .fini = finish);

/* header, data, status at head; no kick */
static void ask(uint16_t head, uint32_t type, uint64_t sector, uint32_t size)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = { type, 0, sector };
	bool device_writes = type == IN || type == GET_ID;
	size_t at = HEADER + head * 16U;

	memcpy(guest_ram + at, &header, sizeof header);
	guest_ram[STATUS + head] = 0xee;
	guest_set_desc(0, head, at, sizeof header, VRING_DESC_F_NEXT, (uint16_t)(head + 1));
	guest_set_desc(0, head + 1U, DATA + head * 0x1000U, size,
		       VRING_DESC_F_NEXT | (device_writes ? VRING_DESC_F_WRITE : 0),
		       (uint16_t)(head + 2));
	guest_set_desc(0, head + 2U, STATUS + head, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, head);
}

static uint8_t answer(uint32_t type, uint64_t sector, uint32_t size)
{
	struct vring_used_elem used;

	ask(0, type, sector, size);
	guest_kick(&guest, 0);
	used = guest_wait(&guest, 0);
	cr_assert_eq(used.id, 0);
	return guest_ram[STATUS];
}

static void round_trip(void)
{
	memset(guest_ram + DATA, 'x', SECTOR * 2);
	cr_assert_eq(answer(OUT, 3, SECTOR * 2), 0);
	memset(guest_ram + DATA, 0, SECTOR * 2);
	cr_assert_eq(answer(IN, 3, SECTOR * 2), 0);
	cr_assert_eq(guest_ram[DATA], 'x');
	cr_assert_eq(guest_ram[DATA + SECTOR * 2 - 1], 'x');
	cr_assert_eq(answer(FLUSH, 0, 0), 0);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_CONFIG), DISK_SECTORS);
}

Test(blk, writes_and_reads)
{
	round_trip();
}

Test(blk_epoll, writes_and_reads)
{
	open_with(false, DISK_SECTORS * SECTOR, IO_BACKEND_EPOLL);
	round_trip();
	finish();
}

Test(blk, past_the_end_and_unaligned)
{
	struct stat st;

	cr_assert_eq(answer(IN, DISK_SECTORS, SECTOR), 1);
	cr_assert_eq(answer(IN, DISK_SECTORS - 1, SECTOR * 2), 1);
	cr_assert_eq(answer(OUT, UINT64_MAX, SECTOR), 1);
	cr_assert_eq(answer(OUT, UINT64_MAX / SECTOR + 1, SECTOR), 1);
	cr_assert_eq(answer(IN, 0, SECTOR - 1), 1);
	cr_assert_eq(answer(OUT, 0, 1), 1);
	cr_assert_eq(answer(IN, DISK_SECTORS - 1, SECTOR), 0);
	cr_assert_eq(fstat(disk, &st), 0);
	cr_assert_eq(st.st_size, DISK_SECTORS * SECTOR);
}

Test(blk, serial)
{
	cr_assert_eq(answer(GET_ID, 0, 20), 0);
	cr_assert_arr_eq(guest_ram + DATA, "layer-0123456789abcd", 20);
	memset(guest_ram + DATA, 0, 20);
	cr_assert_eq(answer(GET_ID, 0, 3), 0);
	cr_assert_arr_eq(guest_ram + DATA, "lay\0", 4);
}

Test(blk, unknown_type)
{
	cr_assert_eq(answer(77, 0, SECTOR), 2);
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
	struct {
		uint64_t sector;
		uint32_t count, flags;
	} r = { sector, count, flags };

	memcpy(guest_ram + DATA, &r, sizeof r);
	return answer(type, 0, sizeof r);
}

Test(blk, discard_and_zeroes)
{
	uint8_t byte = 1;

	cr_assert_eq(pwrite(disk, "abc", 3, 8 * SECTOR), 3);
	cr_assert_eq(range(DISCARD, 8, 8, 0), 0);
	cr_assert_eq(pread(disk, &byte, 1, 8 * SECTOR), 1);
	cr_assert_eq(byte, 0);
	for (uint32_t unmap = 0; unmap < 2; unmap++) {
		cr_assert_eq(pwrite(disk, "abc", 3, 9 * SECTOR), 3);
		cr_assert_eq(range(ZEROES, 9, 1, unmap), 0);
		cr_assert_eq(pread(disk, &byte, 1, 9 * SECTOR), 1);
		cr_assert_eq(byte, 0);
	}
	cr_assert_eq(range(DISCARD, 0, 1, 1), 2);
	cr_assert_eq(range(ZEROES, 0, 1, 2), 2);
	cr_assert_eq(range(DISCARD, DISK_SECTORS, 1, 0), 1);
	cr_assert_eq(range(ZEROES, UINT64_MAX, 1, 0), 1);
	cr_assert_eq(range(DISCARD, 0, UINT32_MAX, 0), 1);
	cr_assert_eq(answer(DISCARD, 0, 15), 1);
}

Test(blk_read_only, refuses_writes_and_fills_the_last_sector)
{
	open_with(true, SECTOR + 10, IO_BACKEND_AUTO);
	cr_assert_eq(pwrite(disk, "abc", 3, SECTOR), 3);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_CONFIG), 2);
	memset(guest_ram + DATA, 'x', SECTOR * 2);
	cr_assert_eq(answer(IN, 0, SECTOR * 2), 0);
	cr_assert_arr_eq(guest_ram + DATA + SECTOR, "abc\0", 4);
	cr_assert_eq(guest_ram[DATA + SECTOR * 2 - 1], 0);
	cr_assert_eq(answer(OUT, 0, SECTOR), 1);
	cr_assert_eq(range(DISCARD, 0, 1, 0), 1);
	cr_assert_eq(answer(FLUSH, 0, 0), 0);
	guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	cr_assert(guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES) & 1U << 5);
	finish();
}

/* With epoll the requests of a turn are done in that turn: one batch. */
Test(blk_epoll, many_at_once_one_interrupt)
{
	uint64_t edges = 0;

	open_with(false, DISK_SECTORS * SECTOR, IO_BACKEND_EPOLL);
	for (uint16_t i = 0; i < 5; i++)
		ask((uint16_t)(i * 3), i % 2 ? IN : OUT, i, SECTOR);
	guest_kick(&guest, 0);
	for (int i = 0; i < 5; i++)
		(void)guest_wait(&guest, 0);
	for (uint16_t i = 0; i < 5; i++)
		cr_assert_eq(guest_ram[STATUS + i * 3], 0);
	cr_assert_eq(read(guest.irq_fd, &edges, sizeof edges), sizeof edges);
	cr_assert_eq(edges, 1);
	finish();
}

Test(blk, same_head_twice_in_flight)
{
	ask(0, IN, 0, SECTOR);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	guest_turn_until(&guest, guest_read(&guest, VIRTIO_MMIO_STATUS) == (15 | 64));
	cr_assert_eq(guest_start(&guest, FEATURE_FLUSH), 15);
	cr_assert_eq(answer(IN, 0, SECTOR), 0);
}

Test(blk, no_header_no_status)
{
	guest_set_desc(0, 0, DATA, 15, VRING_DESC_F_NEXT, 1);
	guest_set_desc(0, 1, STATUS, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	guest_turn_until(&guest, guest_read(&guest, VIRTIO_MMIO_STATUS) == (15 | 64));
	cr_assert_eq(guest_start(&guest, FEATURE_FLUSH), 15);
	guest_set_desc(0, 0, DATA, 16, 0, 0);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	guest_turn_until(&guest, guest_read(&guest, VIRTIO_MMIO_STATUS) == (15 | 64));
}

Test(blk, reset_with_requests_in_flight)
{
	for (int round = 0; round < 20; round++) {
		for (uint16_t i = 0; i < 5; i++)
			ask((uint16_t)(i * 3), i % 2 ? IN : OUT, i, SECTOR);
		guest_kick(&guest, 0);
		cr_assert_eq(io_turn(guest.io, 0), 0);
		cr_assert_eq(guest_start(&guest, FEATURE_FLUSH), 15);
		cr_assert_eq(guest_used_index(0), 0);
	}
	cr_assert_eq(answer(IN, 0, SECTOR), 0);
}

Test(blk, write_through_without_flush_feature)
{
	cr_assert_eq(guest_start(&guest, 0), 15);
	round_trip();
}

Test(blk, data_split_in_odd_pieces)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = { OUT, 0, 1 };

	memcpy(guest_ram + HEADER, &header, sizeof header);
	memset(guest_ram + DATA, 'p', SECTOR);
	guest_set_desc(0, 0, HEADER, 7, VRING_DESC_F_NEXT, 1);
	guest_set_desc(0, 1, HEADER + 7, 9, VRING_DESC_F_NEXT, 2);
	guest_set_desc(0, 2, DATA, 13, VRING_DESC_F_NEXT, 3);
	guest_set_desc(0, 3, DATA + 13, SECTOR - 13, VRING_DESC_F_NEXT, 4);
	guest_set_desc(0, 4, STATUS, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	(void)guest_wait(&guest, 0);
	cr_assert_eq(guest_ram[STATUS], 0);
	cr_assert_eq(pread(disk, guest_ram + DATA + SECTOR, SECTOR, SECTOR), SECTOR);
	cr_assert_arr_eq(guest_ram + DATA, guest_ram + DATA + SECTOR, SECTOR);
}

Test(blk_faults, full_host_disk_is_an_error_of_the_request)
{
	struct sys_fault fault = { .call = "pwritev", .result = -ENOSPC, .count = 1 };

	open_with(false, DISK_SECTORS * SECTOR, IO_BACKEND_EPOLL);
	sys_inject(&fault);
	cr_assert_eq(answer(OUT, 0, SECTOR), 1);
	cr_assert_eq(answer(OUT, 0, SECTOR), 0);
	fault = (struct sys_fault){ .call = "fdatasync", .result = -EIO, .count = 1 };
	cr_assert_eq(answer(FLUSH, 0, 0), 1);
	fault = (struct sys_fault){ .call = "fallocate", .result = -EOPNOTSUPP, .count = 2 };
	cr_assert_eq(range(ZEROES, 0, 1, 0), 2);
	sys_inject(NULL);
	finish();
}

Test(blk, counts_what_it_does)
{
	const struct virtio_queue_stats *stats = &device->stats[0];

	cr_assert_eq(answer(OUT, 3, SECTOR * 2), 0);
	cr_assert_eq(answer(IN, 3, SECTOR), 0);
	cr_assert_eq(guest_interrupt(&guest), VIRTIO_MMIO_INT_VRING);
	cr_assert_eq(answer(IN, DISK_SECTORS, SECTOR), 1);
	cr_assert_eq(stats->chains, 3);
	cr_assert_eq(stats->from_guest, SECTOR * 2);
	cr_assert_eq(stats->to_guest, SECTOR);
	cr_assert_eq(stats->kicks, 3);
	cr_assert_eq(stats->interrupts, 2);
	cr_assert_eq(stats->merged, 1);
	cr_assert_eq(stats->unwanted, 0);
	cr_assert_eq(device->acknowledged, 1);
	guest_avail(0)[0] = VRING_AVAIL_F_NO_INTERRUPT;
	cr_assert_eq(answer(IN, 0, SECTOR), 0);
	cr_assert_eq(stats->unwanted, 1);
	cr_assert_eq(guest_start(&guest, FEATURE_FLUSH), 15);
	cr_assert_eq(stats->chains, 4, "a reset clears nothing");
}

static void limited(enum io_backend backend)
{
	uint64_t start;

	/* two at once, then one every 20 ms */
	open_limited(false, DISK_SECTORS * SECTOR, backend,
		     (struct rate_limit_config){ .operations_rate = 50, .operations_burst = 2 });
	start = sys_monotonic_ns();
	for (uint16_t i = 0; i < 5; i++)
		ask((uint16_t)(i * 3), IN, i, SECTOR);
	guest_kick(&guest, 0);
	for (int i = 0; i < 5; i++) {
		guest_kick(&guest, 0);
		(void)guest_wait(&guest, 0);
	}
	cr_assert_geq(sys_monotonic_ns() - start, 40000000);
	for (uint16_t i = 0; i < 5; i++)
		cr_assert_eq(guest_ram[STATUS + i * 3], 0);
}

Test(blk_limit, operations)
{
	limited(IO_BACKEND_AUTO);
	finish();
}

Test(blk_epoll, operations_are_limited)
{
	limited(IO_BACKEND_EPOLL);
	finish();
}

/* Longer than any test lasts: one byte a second. */
#define ONE_BYTE_A_SECOND ((struct rate_limit_config){ .bytes_rate = 1, .bytes_burst = 1 })

static void one_waits(void)
{
	open_limited(false, DISK_SECTORS * SECTOR, IO_BACKEND_AUTO, ONE_BYTE_A_SECOND);
	cr_assert_eq(answer(IN, 0, SECTOR), 0);
	ask(0, IN, 1, SECTOR);
	guest_kick(&guest, 0);
	guest_turn_until(&guest, device->delayed == 1);
	cr_assert_eq(guest_used_index(0), 1);
}

Test(blk_limit, reset_while_one_waits)
{
	one_waits();
	cr_assert_eq(guest_start(&guest, FEATURE_FLUSH), 15);
	finish();
}

Test(blk_limit, lifted_while_one_waits)
{
	one_waits();
	virtio_blk_set_limit(device, &(struct rate_limit_config){ 0 });
	cr_assert_eq(guest_wait(&guest, 0).id, 0);
	cr_assert_eq(answer(IN, 2, SECTOR), 0);
	finish();
}

Test(blk, resize)
{
	uint32_t generation = guest_read(&guest, VIRTIO_MMIO_CONFIG_GENERATION);
	uint64_t bytes = 0;

	cr_assert_eq(answer(OUT, DISK_SECTORS, SECTOR), 1);
	cr_assert_eq(virtio_blk_resize(device, &bytes), 0);
	cr_assert_eq(bytes, DISK_SECTORS * SECTOR);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	(void)guest_interrupt(&guest);
	cr_assert_eq(ftruncate(disk, (DISK_SECTORS + 8) * SECTOR + 100), 0);
	cr_assert_eq(virtio_blk_resize(device, &bytes), 0);
	cr_assert_eq(bytes, (DISK_SECTORS + 8) * SECTOR);
	cr_assert_eq(guest_interrupt(&guest), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_CONFIG), DISK_SECTORS + 8);
	cr_assert_neq(guest_read(&guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	cr_assert_eq(answer(OUT, DISK_SECTORS + 7, SECTOR), 0);
	cr_assert_eq(ftruncate(disk, 8 * SECTOR), 0);
	cr_assert_eq(virtio_blk_resize(device, &bytes), 0);
	cr_assert_eq(answer(OUT, 8, SECTOR), 1);
	cr_assert_eq(answer(OUT, 7, SECTOR), 0);
}

static void truncated_behind_its_back(enum io_backend backend)
{
	open_with(true, DISK_SECTORS * SECTOR, backend);
	memset(guest_ram + DATA, 'x', 2 * SECTOR);
	cr_assert_eq(ftruncate(disk, 8 * SECTOR + 100), 0);
	cr_assert_eq(answer(IN, 7, SECTOR), 0);
	cr_assert_eq(answer(IN, 8, SECTOR), 1, "no zeroes that were never in the file");
	cr_assert_eq(answer(IN, 7, 2 * SECTOR), 1);
	cr_assert_eq(answer(IN, DISK_SECTORS - 1, SECTOR), 1);
	cr_assert_eq(answer(IN, 0, SECTOR), 0);
	finish();
}

Test(blk_truncated, reads_are_errors)
{
	truncated_behind_its_back(IO_BACKEND_AUTO);
}

Test(blk_epoll, truncated)
{
	truncated_behind_its_back(IO_BACKEND_EPOLL);
}

/* ---- batches: kick_batch.h ---- */

enum { BATCH_QUEUE = 16 };

/* As a driver with the event index: kicks when its index passes the device's word. */
static bool ask_and_kick(uint16_t head, uint64_t sector)
{
	uint16_t before = guest.offered[0],
		 event = __atomic_load_n(&guest_used(0)[2 + 4 * BATCH_QUEUE], __ATOMIC_ACQUIRE);

	ask(head, IN, sector, SECTOR);
	if ((uint16_t)(guest.offered[0] - event - 1) >= (uint16_t)(guest.offered[0] - before))
		return false;
	guest_kick(&guest, 0);
	return true;
}

static void one_by_one(unsigned count)
{
	while (count-- > 0) {
		(void)ask_and_kick(0, 1);
		cr_assert_eq(guest_wait(&guest, 0).id, 0);
	}
}

static void open_batches(enum io_backend backend)
{
	open_with(false, DISK_SECTORS * SECTOR, backend);
	cr_assert_eq(guest_start(&guest, FEATURE_FLUSH | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX),
		     15);
	cr_assert_eq(guest.queue_size, BATCH_QUEUE);
	one_by_one(KICK_BATCH_FIRST_TRIAL);
}

Test(blk_batch, one_alone_is_not_forgotten)
{
	uint64_t kicks = 0;

	open_batches(IO_BACKEND_URING);
	cr_assert_not(ask_and_kick(0, 1), "the second is to kick");
	cr_assert_eq(guest_wait(&guest, 0).id, 0);
	cr_assert_eq(guest_ram[STATUS], 0);
	kicks = device->stats[0].kicks;
	one_by_one(KICK_BATCH_FIRST_TRIAL);
	cr_assert_geq(device->stats[0].kicks, kicks + KICK_BATCH_FIRST_TRIAL - 1,
		      "it had one at a time, so each is kicked for");
	finish();
}

Test(blk_batch, several_are_one_kick)
{
	uint64_t kicks;

	open_batches(IO_BACKEND_URING);
	kicks = device->stats[0].kicks;
	for (unsigned done = 0; done < 60;) {
		unsigned offered = 0;

		while (offered < 5 && !ask_and_kick((uint16_t)(offered * 3), offered))
			offered++;
		offered += offered < 5;
		for (unsigned i = 0; i < offered; i++)
			(void)guest_wait(&guest, 0);
		done += offered;
	}
	cr_assert_lt(device->stats[0].kicks - kicks, 40, "of 60 requests");
	finish();
}

Test(blk_batch, reset_while_waiting)
{
	open_batches(IO_BACKEND_URING);
	for (int i = 0; i < 10; i++) {
		(void)ask_and_kick(0, 1);
		cr_assert_eq(
		    guest_start(&guest, FEATURE_FLUSH | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX),
		    15);
		cr_assert_eq(guest_used_index(0), 0);
		one_by_one(KICK_BATCH_FIRST_TRIAL);
	}
	finish();
}

/* It is the guest who says how large the queue is: a batch that never fits is no trap. */
Test(blk_batch, queue_of_one_request)
{
	open_with(false, DISK_SECTORS * SECTOR, IO_BACKEND_URING);
	guest.queue_size = 1;
	cr_assert_eq(guest_start(&guest, FEATURE_FLUSH | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX),
		     15);
	for (unsigned i = 0; i < 3 * KICK_BATCH_FIRST_TRIAL; i++) {
		guest_set_desc(0, 0, DATA, SECTOR, VRING_DESC_F_INDIRECT, 0);
		guest_set_desc(0, 1, 0, 0, 0, 0);
		memset(guest_ram + HEADER, 0, 16);
		((struct vring_desc *)(void *)(guest_ram + DATA))[0] =
		    (struct vring_desc){ guest_at(HEADER).value, 16, VRING_DESC_F_NEXT, 1 };
		((struct vring_desc *)(void *)(guest_ram + DATA))[1] =
		    (struct vring_desc){ guest_at(STATUS).value, 1, VRING_DESC_F_WRITE, 0 };
		guest_desc(0)[0].len = 2 * sizeof(struct vring_desc);
		guest_offer(&guest, 0, 0);
		guest_kick(&guest, 0);
		(void)guest_wait(&guest, 0);
	}
	finish();
}

/* Its timers are too coarse. */
Test(blk_batch, none_with_epoll)
{
	open_batches(IO_BACKEND_EPOLL);
	for (unsigned i = 0; i < 2 * KICK_BATCH_FIRST_TRIAL; i++) {
		cr_assert(ask_and_kick(0, 1));
		cr_assert_eq(guest_wait(&guest, 0).id, 0);
	}
	finish();
}

Test(blk_create, wants_a_file_it_can_use)
{
	own_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	own_fd self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	cr_assert_eq(virtio_blk_create(&(struct virtio_blk_config){ .fd = null }, &device),
		     -EINVAL);
	cr_assert_eq(virtio_blk_create(&(struct virtio_blk_config){ .fd = self }, &device),
		     -EACCES);
	cr_assert_eq(virtio_blk_create(&(struct virtio_blk_config){ .fd = -1 }, &device), -EBADF);
}

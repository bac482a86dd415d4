/* What a guest can do wrong with a disk's queue, whatever the device: it must be told to reset or
 * be served, nothing beyond its memory and its disk may be touched, and after a reset everything
 * works again. */
#include "base/sys.h"
#include "devices/virtio_blk.h"
#include "guest.h"
#include <pthread.h>
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
	NEEDS_RESET = 15 | VIRTIO_CONFIG_S_NEEDS_RESET,
};
#define INDIRECT    (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT_INDEX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

static struct guest guest;
static int disk;

static void setup(void)
{
	struct virtio_blk_config config = { .serial = "disk" };
	struct virtio_device *device;

	disk = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(disk, DISK_SECTORS * SECTOR), 0);
	config.fd = dup(disk);
	cr_assert_eq(virtio_blk_create(&config, &device), 0);
	guest_open(&guest, device);
	cr_assert_eq(guest_start(&guest, INDIRECT), 15);
}

static void finish(void)
{
	struct stat st;

	cr_assert_eq(fstat(disk, &st), 0);
	cr_assert_eq(st.st_size, DISK_SECTORS * SECTOR, "the disk has its size");
	guest_close(&guest);
	close(disk);
}

TestSuite(hostile, .init = setup, .fini = finish);

static void set_header(uint32_t type, uint64_t sector)
{
	struct header header = { type, 0, sector };

	memcpy(guest_ram + HEADER, &header, sizeof header);
}

static void set_request(uint32_t type, uint64_t sector, uint32_t size)
{
	set_header(type, sector);
	guest_set_desc(0, 0, HEADER, sizeof(struct header), VRING_DESC_F_NEXT, 1);
	guest_set_desc(0, 1, DATA, size, VRING_DESC_F_NEXT | (type == IN ? VRING_DESC_F_WRITE : 0),
		       2);
	guest_set_desc(0, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	guest_ram[STATUS] = 0xee;
}

/* The device still does its work, after a reset if it wants one. */
static void still_works(void)
{
	cr_assert_eq(guest_start(&guest, INDIRECT), 15);
	set_request(IN, 1, SECTOR);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	(void)guest_wait(&guest, 0);
	cr_assert_eq(guest_ram[STATUS], 0);
}

static void must_reset(void)
{
	guest_kick(&guest, 0);
	guest_turn_until(&guest, guest_read(&guest, VIRTIO_MMIO_STATUS) == NEEDS_RESET);
	still_works();
}

/* ---- where the queue lies ---- */

static void negotiate(void)
{
	guest_write(&guest, VIRTIO_MMIO_STATUS, 0);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 3);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 11);
	guest_write(&guest, VIRTIO_MMIO_QUEUE_SEL, 0);
}

static void place(uint64_t descriptors, uint64_t avail, uint64_t used)
{
	const struct {
		uint64_t offset, address;
	} areas[] = { { VIRTIO_MMIO_QUEUE_DESC_LOW, descriptors },
		      { VIRTIO_MMIO_QUEUE_AVAIL_LOW, avail },
		      { VIRTIO_MMIO_QUEUE_USED_LOW, used } };

	negotiate();
	guest_write(&guest, VIRTIO_MMIO_QUEUE_NUM, guest.queue_size);
	for (size_t i = 0; i < 3; i++) {
		guest_write(&guest, areas[i].offset, (uint32_t)areas[i].address);
		guest_write(&guest, areas[i].offset + 4, (uint32_t)(areas[i].address >> 32));
	}
	guest_write(&guest, VIRTIO_MMIO_QUEUE_READY, 1);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 15);
}

Test(hostile, areas_outside_of_memory)
{
	/* below, above, across the end, where devices' registers would be, and around zero */
	static const uint64_t bad[] = { 0,
					GUEST_BASE - 0x1000,
					GUEST_BASE - 16,
					GUEST_BASE + GUEST_RAM - 16,
					GUEST_BASE + GUEST_RAM,
					UINT64_C(0xd0000000),
					UINT64_C(0xfee00000),
					UINT64_C(1) << 52,
					UINT64_MAX - 15,
					UINT64_MAX - 0xfff };
	const uint64_t good[] = { GUEST_BASE, GUEST_BASE + 0x1000, GUEST_BASE + 0x1400 };

	for (size_t area = 0; area < 3; area++)
		for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
			uint64_t at[] = { good[0], good[1], good[2] };

			at[area] = bad[i];
			place(at[0], at[1], at[2]);
			cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), NEEDS_RESET);
			guest_kick(&guest, 0);
			guest_turn(&guest);
		}
	still_works();
}

/* Allowed to be nonsense: what the device writes changes what it reads. It judges each time. */
Test(hostile, areas_on_top_of_each_other)
{
	static const uint64_t places[][3] = { { 0, 0, 0 },           { 0, 0x10, 0x10 },
					      { 0, 0x1000, 0x1000 }, { 0, 0x1000, 0x1004 },
					      { 0, 0x1000, 0 },      { 0x1000, 0, 0x1000 },
					      { 0, 0x80, 0x40 } };

	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		memset(guest_ram, 0, VIRTIO_MAX_QUEUES * GUEST_RINGS);
		set_request(OUT, 1, SECTOR);
		place(GUEST_BASE + places[i][0], GUEST_BASE + places[i][1],
		      GUEST_BASE + places[i][2]);
		for (int n = 0; n < 50; n++) {
			guest_ram[places[i][1] + 2]++;
			guest_kick(&guest, 0);
			guest_turn(&guest);
		}
	}
	still_works();
}

/* ---- what is in it ---- */

Test(hostile, index_jumps)
{
	static const uint16_t jumps[] = { GUEST_QUEUE_SIZE + 1, 0x7fff, 0x8000, 0xffff };

	for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
		set_request(IN, 0, SECTOR);
		guest_avail(0)[1] = (uint16_t)(guest_avail(0)[1] + jumps[i]);
		must_reset();
	}
}

Test(hostile, index_goes_back)
{
	set_request(IN, 0, SECTOR);
	for (int i = 0; i < 2; i++) {
		guest_offer(&guest, 0, 0);
		guest_kick(&guest, 0);
		(void)guest_wait(&guest, 0);
	}
	guest_avail(0)[1]--;
	must_reset();
}

Test(hostile, loops)
{
	struct vring_desc table[2] = { { GUEST_BASE + DATA, 16, VRING_DESC_F_NEXT, 1 },
				       { GUEST_BASE + DATA, 16, VRING_DESC_F_NEXT, 0 } };
	struct vring_desc self = { GUEST_BASE + DATA, sizeof self, VRING_DESC_F_INDIRECT, 0 };

	guest_set_desc(0, 0, HEADER, 16, VRING_DESC_F_NEXT, 0);
	guest_offer(&guest, 0, 0);
	must_reset();
	guest_set_desc(0, 0, HEADER, 0, VRING_DESC_F_NEXT, 1);
	guest_set_desc(0, 1, HEADER, 0, VRING_DESC_F_NEXT, 0);
	guest_offer(&guest, 0, 0);
	must_reset();
	memcpy(guest_ram + DATA, table, sizeof table);
	guest_set_desc(0, 0, DATA, sizeof table, VRING_DESC_F_INDIRECT, 0);
	guest_offer(&guest, 0, 0);
	must_reset();
	memcpy(guest_ram + DATA, &self, sizeof self);
	guest_set_desc(0, 0, DATA, sizeof self, VRING_DESC_F_INDIRECT, 0);
	guest_offer(&guest, 0, 0);
	must_reset();
}

Test(hostile, nothing_in_the_descriptors)
{
	/* no bytes at all; no status; a status that is empty */
	guest_set_desc(0, 0, HEADER, 0, VRING_DESC_F_NEXT, 1);
	guest_set_desc(0, 1, STATUS, 0, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, 0);
	must_reset();
	set_header(IN, 0);
	guest_set_desc(0, 0, HEADER, 16, VRING_DESC_F_NEXT, 1);
	guest_set_desc(0, 1, STATUS, 0, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, 0, 0);
	must_reset();
	/* no data is a request of nothing */
	set_request(IN, 0, 0);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	cr_assert_eq(guest_wait(&guest, 0).len, 1);
	cr_assert_eq(guest_ram[STATUS], 0);
}

/* 124 times 40 MiB in one chain are more than 4 GiB, which neither a used element nor one system
 * call can say; 2.7.13.2 forbids it. */
Test(hostile, a_chain_of_more_than_4_gib)
{
	enum { PIECE = 40 << 20, COUNT = 124 };
	const uint64_t base = UINT64_C(0x40000000);
	void *ram = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct vring_desc table[COUNT + 2] = { { GUEST_BASE + HEADER, sizeof(struct header),
						 VRING_DESC_F_NEXT, 1 } };

	cr_assert_neq(ram, MAP_FAILED);
	cr_assert_eq(ftruncate(disk, INT64_C(6) << 30), 0);
	cr_assert_eq(virtio_blk_resize(virtio_mmio_device(guest.mmio), &(uint64_t){ 0 }), 0);
	cr_assert_eq(gmem_add(&guest.mem, (gpa_t){ base }, ram, PIECE), 0);
	for (uint16_t i = 1; i <= COUNT; i++)
		table[i] = (struct vring_desc){ base, PIECE, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
						(uint16_t)(i + 1) };
	table[COUNT + 1] = (struct vring_desc){ GUEST_BASE + STATUS, 1, VRING_DESC_F_WRITE, 0 };
	memcpy(guest_ram + DATA, table, sizeof table);
	set_header(IN, 0);
	guest_set_desc(0, 0, DATA, sizeof table, VRING_DESC_F_INDIRECT, 0);
	guest_offer(&guest, 0, 0);
	guest_kick(&guest, 0);
	cr_assert_eq(guest_wait(&guest, 0).len, 1);
	cr_assert_eq(guest_ram[STATUS], 1);
	cr_assert_eq(ftruncate(disk, DISK_SECTORS * SECTOR), 0);
	still_works();
	(void)munmap(ram, PIECE);
}

/* ---- at a bad moment ---- */

static volatile bool storming;

/* Another vCPU that changes the request while the device reads it. */
static void *changer(void *argument)
{
	volatile struct vring_desc *desc = guest_desc(0);
	volatile struct header *header = (volatile struct header *)(void *)(guest_ram + HEADER);

	for (uint32_t i = 0; storming; i++) {
		header->type = i % 2 ? IN : OUT;
		header->sector = i % 3 ? 1 : UINT64_MAX - i;
		desc[1].len = i % 5 ? SECTOR : UINT32_MAX;
		desc[1].addr = i % 7 ? GUEST_BASE + DATA : GUEST_BASE + GUEST_RAM - 8;
		desc[1].next = i % 11 ? 2 : 0;
		desc[1].flags =
		    i % 4 < 2 ? VRING_DESC_F_NEXT | VRING_DESC_F_WRITE : VRING_DESC_F_NEXT;
	}
	return argument;
}

Test(hostile, a_request_that_changes_while_it_is_read)
{
	pthread_t thread;

	storming = true;
	cr_assert_eq(pthread_create(&thread, NULL, changer, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		set_request(OUT, 1, SECTOR);
		guest_offer(&guest, 0, 0);
		guest_kick(&guest, 0);
		guest_turn_until(&guest, guest_used_index(0) == guest.offered[0] ||
					     guest_read(&guest, VIRTIO_MMIO_STATUS) == NEEDS_RESET);
		if (guest_read(&guest, VIRTIO_MMIO_STATUS) == NEEDS_RESET)
			cr_assert_eq(guest_start(&guest, INDIRECT), 15);
	}
	storming = false;
	cr_assert_eq(pthread_join(thread, NULL), 0);
	still_works();
}

static void *kicker(void *argument)
{
	while (storming)
		for (uint32_t queue = 0; queue < 3; queue++)
			guest_write(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	return argument;
}

static void storm(uint64_t features)
{
	pthread_t threads[2];

	cr_assert_eq(guest_start(&guest, features), 15);
	storming = true;
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, kicker, NULL), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		set_request(i % 2 ? IN : OUT, i % DISK_SECTORS, SECTOR);
		guest_offer(&guest, 0, 0);
		(void)guest_wait(&guest, 0); /* nobody but the storm kicks */
		cr_assert_eq(guest_ram[STATUS], 0);
	}
	storming = false;
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
}

Test(hostile, kick_storm)
{
	storm(0);
	storm(EVENT_INDEX);
	still_works();
}

/* The vCPU that resets waits until nothing of the device's touches the guest's memory any more. */
Test(hostile, reset_in_flight)
{
	for (uint32_t round = 0; round < 200; round++) {
		set_request(round % 2 ? IN : OUT, 0, 16 * SECTOR);
		guest_offer(&guest, 0, 0);
		guest_kick(&guest, 0);
		if (round % 3)
			cr_assert_eq(io_turn(guest.io, 0), 0);
		guest_write(&guest, VIRTIO_MMIO_STATUS, 0);
		memset(guest_ram + DATA, 0x5a, 16 * SECTOR);
		guest_turn(&guest);
		for (size_t i = 0; i < 16 * SECTOR; i++)
			cr_assert_eq(guest_ram[DATA + i], 0x5a);
		cr_assert_eq(guest_start(&guest, INDIRECT), 15);
	}
	still_works();
}

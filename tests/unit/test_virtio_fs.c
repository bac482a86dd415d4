/* The front of a share and its server in a process of its own, with a guest that breaks the rules.
 */
#include "guest.h"

#include "devices/fs/channel.h"
#include "devices/fs/fs.h"
#include "devices/fs/server.h"
#include "devices/virtio_fs.h"
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { REQUESTS = 1, IN = GUEST_DATA + 0x10000, OUT = IN + 0x1000 };

static struct guest guest;
static unsigned asked = REQUESTS; /* the queue that is asked */
static struct virtio_device *front;
static struct virtio_fs_link *link_to_server;
static struct io *link_io;
static pid_t server;
static bool is_gone;
static char folder[] = "/tmp/katavm-virtio-fs-XXXXXX";

static void gone(void *context)
{
	(void)context;
	is_gone = true;
}

static int start_server(void)
{
	struct fs_message share = { .kind = FS_MESSAGE_SHARE };
	int pair[2], root;

	cr_assert(mkdtemp(folder));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	server = fork();
	if (server == 0) {
		struct error err = { 0 };

		(void)close(pair[0]);
		_exit(fs_server_run(pair[1], &err) < 0);
	}
	close(pair[1]);
	root = open(folder, O_PATH | O_CLOEXEC);
	cr_assert_eq(fs_message_send(pair[0], &share, &root, 1), 0);
	close(root);
	return pair[0];
}

static void open_guest_with(unsigned request_queues)
{
	struct virtio_fs_config config = { .tag = "share", .request_queues = request_queues };
	int ram = memfd_create("ram", MFD_CLOEXEC);
	int socket = start_server();

	cr_assert_eq(ftruncate(ram, GUEST_RAM), 0);
	cr_assert_neq(
	    mmap(guest_ram, GUEST_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram, 0),
	    MAP_FAILED);
	/* the guest's loop is made with the device, which wants the link: a loop first */
	cr_assert_eq(io_create(&(struct io_config){ .backend = IO_BACKEND_AUTO }, &link_io), 0);
	cr_assert_eq(virtio_fs_link_create(link_io, socket, gone, NULL, &link_to_server), 0);
	config.link = link_to_server;
	cr_assert_eq(virtio_fs_create(&config, &front), 0);
	guest_open(&guest, front);
	cr_assert_eq(virtio_fs_link_memory(link_to_server, ram, GUEST_RAM, &guest.mem), 0);
	close(ram);
}

static void open_guest(void)
{
	open_guest_with(1);
}

static void close_guest(void)
{
	char command[64];

	guest_close(&guest);
	virtio_fs_link_destroy(link_to_server);
	io_destroy(link_io);
	kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	(void)snprintf(command, sizeof command, "rm -rf %s", folder);
	cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c): a test's own folder */
}

/* A request of `size` bytes behind its header; waits for the answer. Returns its error. */
static int ask_about(uint64_t node, uint32_t opcode, const void *body, uint32_t size)
{
	struct fuse_in_header in = {
		.len = (uint32_t)sizeof in + size, .opcode = opcode, .unique = 7, .nodeid = node
	};
	struct fuse_out_header out;

	memcpy(guest_ram + IN, &in, sizeof in);
	memcpy(guest_ram + IN + sizeof in, body, size);
	guest_set_desc(asked, 0, IN, in.len, VRING_DESC_F_NEXT, 1);
	guest_set_desc(asked, 1, OUT, 4096, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, asked, 0);
	guest_kick(&guest, asked);
	cr_assert_geq(guest_wait(&guest, asked).len, sizeof out);
	memcpy(&out, guest_ram + OUT, sizeof out);
	cr_assert_eq(out.unique, 7);
	return out.error;
}

static int ask(uint32_t opcode, const void *body, uint32_t size)
{
	return ask_about(FUSE_ROOT_ID, opcode, body, size);
}

static void begin(uint64_t features)
{
	struct fuse_init_in init = { .major = 7, .minor = 38 };

	cr_assert_eq(guest_start(&guest, features), 15);
	cr_assert_eq(ask(FUSE_INIT, &init, sizeof init), 0);
}

Test(virtio_fs, requests_are_answered_by_the_server, .timeout = 60)
{
	struct fuse_getattr_in get = { 0 };
	char tag[36] = "";

	open_guest();
	for (uint32_t i = 0; i < sizeof tag; i += 4)
		virtio_mmio_read(guest.mmio, 0x100 + i, tag + i, 4);
	cr_assert_str_eq(tag, "share");
	cr_assert_eq(guest_read(&guest, 0x100 + 36), 1);
	begin(0);
	cr_assert_eq(ask(FUSE_GETATTR, &get, sizeof get), 0);
	cr_assert(guest_interrupt(&guest) & VIRTIO_MMIO_INT_VRING);
	/* a reset forgets the session, and the next one begins anew */
	begin(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	cr_assert_eq(ask(FUSE_GETATTR, &get, sizeof get), 0);
	close_guest();
}

static struct virtio_queue_stats counted(unsigned queue)
{
	struct virtqueue_view view = { .size = GUEST_QUEUE_SIZE };
	struct virtio_queue_stats stats = { 0 };

	front->type->look(front, queue, &stats, &view);
	cr_assert_eq(view.in_flight, 0);
	cr_assert_eq(view.next_used, guest_used(queue)[1]);
	return stats;
}

Test(virtio_fs, what_the_server_did_is_counted, .timeout = 60)
{
	struct {
		struct fuse_create_in in;
		char name[2];
	} create = { { .flags = O_RDWR, .mode = 0600 }, "f" };
	struct {
		struct fuse_write_in in;
		char bytes[100];
	} write = { .in = { .size = sizeof write.bytes } };
	struct fuse_read_in read = { .size = 60 };
	struct virtio_queue_stats stats;
	struct fuse_entry_out entry;
	struct fuse_open_out file;

	open_guest();
	begin(0);
	cr_assert_eq(counted(0).chains, 0);
	cr_assert_eq(counted(REQUESTS).chains, 1);
	cr_assert_eq(ask(FUSE_CREATE, &create, sizeof create), 0);
	memcpy(&entry, guest_ram + OUT + sizeof(struct fuse_out_header), sizeof entry);
	memcpy(&file, guest_ram + OUT + sizeof(struct fuse_out_header) + sizeof entry, sizeof file);
	write.in.fh = read.fh = file.fh;
	cr_assert_eq(ask_about(entry.nodeid, FUSE_WRITE, &write, sizeof write), 0);
	cr_assert_eq(ask_about(entry.nodeid, FUSE_READ, &read, sizeof read), 0);
	cr_assert_lt(ask_about(99, FUSE_READ, &read, sizeof read), 0);
	stats = counted(REQUESTS);
	cr_assert_eq(stats.chains, 5);
	cr_assert(stats.kicks >= 1 && stats.kicks <= 5);
	cr_assert(stats.interrupts >= 1 && stats.interrupts + stats.unwanted <= 5);
	cr_assert_eq(stats.from_guest, 100);
	cr_assert_eq(stats.to_guest, 60);
	begin(0); /* a reset clears nothing but the indices */
	cr_assert_eq(counted(REQUESTS).chains, 6);
	close_guest();
}

Test(virtio_fs, a_guest_that_breaks_the_rules_breaks_its_queue, .timeout = 60)
{
	struct fuse_getattr_in get = { 0 };

	open_guest();
	begin(0);
	guest_desc(REQUESTS)[0] = (struct vring_desc){ UINT64_C(1) << 40, 4096, 0, 0 };
	guest_offer(&guest, REQUESTS, 0);
	guest_kick(&guest, REQUESTS);
	while (!(guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET))
		cr_assert_eq(io_turn(link_io, 10), 0);
	begin(0);
	cr_assert_eq(ask(FUSE_GETATTR, &get, sizeof get), 0);
	/* an index that jumps */
	__atomic_store_n(&guest_avail(REQUESTS)[1], 999, __ATOMIC_RELEASE);
	guest_kick(&guest, REQUESTS);
	while (!(guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET))
		cr_assert_eq(io_turn(link_io, 10), 0);
	begin(0);
	close_guest();
}

Test(virtio_fs, a_queue_for_each_processor, .timeout = 60)
{
	const unsigned most = VIRTIO_MAX_QUEUES - 1;
	struct fuse_getattr_in get = { 0 };
	struct virtio_device *refused;

	open_guest_with(most);
	cr_assert_eq(guest_read(&guest, 0x100 + 36), most);
	begin(0);
	for (asked = 1; asked <= most; asked++)
		cr_assert_eq(ask(FUSE_GETATTR, &get, sizeof get), 0);
	asked = REQUESTS;
	cr_assert_eq(counted(1).chains, 2); /* and the session's begin */
	for (unsigned i = 2; i <= most; i++)
		cr_assert_eq(counted(i).chains, 1);
	cr_assert_eq(virtio_fs_create(&(struct virtio_fs_config){ .link = link_to_server,
								  .share = 1,
								  .request_queues = most + 1 },
				      &refused),
		     -EINVAL);
	close_guest();
}

enum { MORE = 0x40000000, MORE_LIMIT = 8 << 20, STEP = 2 << 20 };

/* A request whose answer is to be at this guest address. */
static void offer_answer_at(uint64_t address)
{
	struct {
		struct fuse_in_header in;
		struct fuse_getattr_in body;
	} request = { .in = { .len = sizeof request,
			      .opcode = FUSE_GETATTR,
			      .unique = 8,
			      .nodeid = FUSE_ROOT_ID } };

	memcpy(guest_ram + IN, &request, sizeof request);
	guest_set_desc(REQUESTS, 0, IN, sizeof request, VRING_DESC_F_NEXT, 1);
	guest_desc(REQUESTS)[1] = (struct vring_desc){ address, 4096, VRING_DESC_F_WRITE, 0 };
	guest_offer(&guest, REQUESTS, 0);
	guest_kick(&guest, REQUESTS);
}

static bool is_answered(const uint8_t *at)
{
	struct fuse_out_header out;

	cr_assert_geq(guest_wait(&guest, REQUESTS).len, sizeof out);
	memcpy(&out, at, sizeof out);
	return out.unique == 8 && out.error == 0 && out.len > sizeof out;
}

/* What the guest got later serves as well as what it began with, and no more than it got. */
Test(virtio_fs, memory_that_comes_later, .timeout = 60)
{
	int file = memfd_create("more", MFD_CLOEXEC);
	const gpa_t start = { MORE };
	uint8_t *more;

	cr_assert_eq(ftruncate(file, MORE_LIMIT), 0);
	more = mmap(NULL, MORE_LIMIT, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	cr_assert_neq(more, MAP_FAILED);
	open_guest();
	for (uint64_t size = STEP; size <= 2 * STEP; size += STEP) {
		begin(0);
		offer_answer_at(MORE + size - 4096);
		while (!(guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET))
			cr_assert_eq(io_turn(link_io, 10), 0);
		cr_assert_eq(virtio_fs_link_more(link_to_server, file, MORE_LIMIT, start, size), 0);
		begin(0);
		offer_answer_at(MORE + size - 4096);
		cr_assert(is_answered(more + size - 4096));
	}
	/* across the seam of the two */
	offer_answer_at(MORE + STEP - 16);
	cr_assert(is_answered(more + STEP - 16));
	/* it never becomes less; a server that is told so ends, and nobody waits for it */
	cr_assert_eq(virtio_fs_link_more(link_to_server, file, MORE_LIMIT, start, STEP), -EPIPE);
	while (!is_gone)
		cr_assert_eq(io_turn(link_io, 10), 0);
	cr_assert_eq(virtio_fs_link_more(link_to_server, file, MORE_LIMIT, start, STEP), -EPIPE);
	close_guest();
	cr_assert_eq(munmap(more, MORE_LIMIT), 0);
	close(file);
}

Test(virtio_fs, reset_with_a_request_on_its_way, .timeout = 60)
{
	open_guest();
	begin(0);
	for (int i = 0; i < 50; i++) {
		struct fuse_in_header in = { .len = sizeof in, .opcode = FUSE_SYNCFS + 0U };

		memcpy(guest_ram + IN, &in, sizeof in);
		guest_set_desc(REQUESTS, 0, IN, sizeof in, VRING_DESC_F_NEXT, 1);
		guest_set_desc(REQUESTS, 1, OUT, 4096, VRING_DESC_F_WRITE, 0);
		guest_offer(&guest, REQUESTS, 0);
		guest_kick(&guest, REQUESTS);
		begin(0);
	}
	close_guest();
}

enum {
	LONG_QUEUE = 256, /* what this guest's memory has room for */
	WAITERS = LONG_QUEUE - 1,
	PLACES = GUEST_DATA + 0x20000, /* of requests: each its table, itself, its answer */
	PLACE_SIZE = 256,
	ANSWER_AT = 192,
};

static uint8_t *place_of(unsigned queue, unsigned head)
{
	return guest_ram + PLACES + (queue * LONG_QUEUE + head) * PLACE_SIZE;
}

static uint64_t number_of(unsigned queue, unsigned head)
{
	return queue * LONG_QUEUE + head + 1;
}

/* One descriptor for each, as the guest's kernel does it. */
static void offer_request(unsigned queue, unsigned head, uint64_t node, uint32_t opcode,
			  const void *body, uint32_t size)
{
	struct fuse_in_header in = { .len = (uint32_t)sizeof in + size,
				     .opcode = opcode,
				     .unique = number_of(queue, head),
				     .nodeid = node };
	uint8_t *place = place_of(queue, head);
	size_t at = (size_t)(place - guest_ram);
	struct vring_desc table[2] = {
		{ guest_at(at + sizeof table).value, in.len, VRING_DESC_F_NEXT, 1 },
		{ guest_at(at + ANSWER_AT).value, PLACE_SIZE - ANSWER_AT, VRING_DESC_F_WRITE, 0 },
	};

	cr_assert_leq(sizeof table + in.len, ANSWER_AT);
	memcpy(place, table, sizeof table);
	memcpy(place + sizeof table, &in, sizeof in);
	memcpy(place + sizeof table + sizeof in, body, size);
	guest_set_desc(queue, head, at, sizeof table, VRING_DESC_F_INDIRECT, 0);
	guest_offer(&guest, queue, (uint16_t)head);
}

static int error_of(unsigned queue, unsigned head)
{
	struct fuse_out_header out;

	memcpy(&out, place_of(queue, head) + ANSWER_AT, sizeof out);
	cr_assert_eq(out.unique, number_of(queue, head));
	return out.error;
}

/* Counts the answers of both queues, by what they say, until there are so many in all. */
struct answers {
	unsigned all, refused, interrupted, locked;
};
static void await(struct answers *answers, unsigned wanted)
{
	struct vring_used_elem used;

	for (unsigned queue = 1; answers->all < wanted; queue = 3 - queue) {
		cr_assert_eq(io_turn(guest.io, 1), 0);
		while (guest_take(&guest, queue, &used)) {
			int error = error_of(queue, used.id);

			cr_assert(error == 0 || error == -ENOLCK || error == -EINTR);
			answers->all++;
			answers->locked += error == 0;
			answers->refused += error == -ENOLCK;
			answers->interrupted += error == -EINTR;
		}
	}
}

/* The one that ends their waiting comes by one of their queues. */
Test(virtio_fs, many_that_wait_for_a_lock_leave_room, .timeout = 60)
{
	struct {
		struct fuse_create_in in;
		char name[2];
	} create = { { .flags = O_RDWR, .mode = 0600 }, "f" };
	struct fuse_lk_in lock = { .lk = { .end = INT64_MAX, .type = F_WRLCK },
				   .lk_flags = FUSE_LK_FLOCK };
	struct fuse_open_in open_in = { .flags = O_RDWR };
	struct fuse_interrupt_in interrupt = { .unique = number_of(2, 3) };
	struct answers answers = { 0 };
	struct fuse_entry_out entry;
	struct fuse_open_out file;
	uint64_t holder;

	open_guest_with(2);
	guest.queue_size = LONG_QUEUE;
	begin(UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
	cr_assert_eq(ask(FUSE_CREATE, &create, sizeof create), 0);
	memcpy(&entry, guest_ram + OUT + sizeof(struct fuse_out_header), sizeof entry);
	memcpy(&file, guest_ram + OUT + sizeof(struct fuse_out_header) + sizeof entry, sizeof file);
	holder = lock.fh = file.fh;
	cr_assert_eq(ask_about(entry.nodeid, FUSE_SETLK, &lock, sizeof lock), 0);
	cr_assert_eq(ask_about(entry.nodeid, FUSE_OPEN, &open_in, sizeof open_in), 0);
	memcpy(&file, guest_ram + OUT + sizeof(struct fuse_out_header), sizeof file);
	lock.fh = file.fh;
	for (unsigned i = 0; i < 2 * WAITERS; i++)
		offer_request(1 + i % 2, i / 2, entry.nodeid, FUSE_SETLKW, &lock, sizeof lock);
	guest_kick(&guest, 1);
	guest_kick(&guest, 2);
	await(&answers, 2 * WAITERS - FS_MAX_WAITING);
	cr_assert_eq(answers.refused, 2 * WAITERS - FS_MAX_WAITING);
	/* another request has no answer but what comes of it */
	offer_request(0, 0, 0, FUSE_INTERRUPT, &interrupt, sizeof interrupt);
	guest_kick(&guest, 0);
	await(&answers, answers.all + 1);
	cr_assert_eq(answers.interrupted, 1);
	cr_assert_eq(error_of(2, 3), -EINTR);
	lock.fh = holder;
	lock.lk.type = F_UNLCK;
	offer_request(1, WAITERS, entry.nodeid, FUSE_SETLK, &lock, sizeof lock);
	guest_kick(&guest, 1);
	await(&answers, 2 * WAITERS + 1);
	cr_assert_eq(answers.locked, FS_MAX_WAITING);
	close_guest();
}

Test(virtio_fs, a_server_that_dies_is_told_of, .timeout = 60)
{
	open_guest();
	begin(0);
	kill(server, SIGKILL);
	while (!is_gone)
		cr_assert_eq(io_turn(link_io, 10), 0);
	guest_write(&guest, VIRTIO_MMIO_STATUS, 0); /* and a reset does not wait for it */
	cr_assert_eq(guest_read(&guest, VIRTIO_MMIO_STATUS), 0);
	close_guest();
}

/* Locks that a guest asks a share for, and leases that the host has. */
#include "fuse_client.h"
#include <errno.h>
#include <signal.h>

static struct client client;

static int lock(uint32_t opcode, uint64_t node, uint64_t handle, uint64_t owner, uint32_t type)
{
	struct fuse_lk_in in = { .fh = handle,
				 .owner = owner,
				 .lk = { .start = 0, .end = 99, .type = type } };

	return client_ask(&client, opcode, node, &in, sizeof in, NULL, NULL);
}

Test(fs_lock, locks_are_the_hosts_too)
{
	struct flock host = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10 };
	struct fuse_flush_in flush = { .lock_owner = 7 };
	uint64_t node = 0, handle = 0;
	int fd;

	client_open(&client);
	cr_assert_eq(client_create(&client, 1, "f", O_RDWR, 0600, &node, &handle), 0);
	fd = open(host_path(&client, "f"), O_RDWR);
	cr_assert_eq(lock(FUSE_SETLK, node, handle, 7, F_WRLCK), 0);
	cr_assert_eq(lock(FUSE_SETLK, node, handle, 8, F_RDLCK), -EAGAIN);
	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &host), -1);
	flush.fh = handle;
	cr_assert_eq(client_ask(&client, FUSE_FLUSH, node, &flush, sizeof flush, NULL, NULL), 0);
	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &host), 0);
	cr_assert_eq(lock(FUSE_SETLK, node, handle, 7, F_WRLCK), -EAGAIN);
	close(fd);
	cr_assert_eq(lock(FUSE_SETLKW, node, handle, 7, F_WRLCK), 0);
	client_close(&client);
}

/* A process that has the file open twice: its locks are one owner's, by whichever it asks. */
Test(fs_lock, one_owner_comes_by_two_handles)
{
	uint64_t node = 0, reading = 0, writing = 0;

	client_open(&client);
	host_write(&client, "f", "text");
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	for (int first = 0; first < 2; first++) {
		uint64_t owner = 7 + (uint64_t)first;

		cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &reading), 0);
		cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_WRONLY, &writing), 0);
		if (first == 0)
			cr_assert_eq(lock(FUSE_SETLK, node, reading, owner, F_RDLCK), 0);
		cr_assert_eq(lock(FUSE_SETLK, node, writing, owner, F_WRLCK), 0);
		cr_assert_eq(lock(FUSE_SETLK, node, reading, owner, F_RDLCK), 0);
		cr_assert_eq(lock(FUSE_SETLK, node, reading, 9, F_RDLCK), 0, "it reads only now");
		cr_assert_eq(lock(FUSE_SETLK, node, writing, owner, F_WRLCK), -EAGAIN);
		cr_assert_eq(client_release(&client, node, reading), 0);
		cr_assert_eq(client_release(&client, node, writing), 0);
	}
	client_close(&client);
}

Test(fs_lock, locks_of_a_share_that_is_read_only)
{
	uint64_t node = 0, handle = 0;

	client_open_config(&client, (struct fs_config){ .read_only = true });
	client_init(&client);
	host_write(&client, "f", "text");
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &handle), 0);
	cr_assert_eq(lock(FUSE_SETLK, node, handle, 7, F_RDLCK), 0);
	cr_assert_eq(lock(FUSE_SETLK, node, handle, 8, F_WRLCK), -EBADF, "nothing is open for it");
	client_close(&client);
}

/* Comes while the request it is about is on its way, or before. */
static void interrupt(uint64_t unique)
{
	struct {
		struct fuse_in_header header;
		struct fuse_interrupt_in in;
	} request = { .header = { .len = sizeof request, .opcode = FUSE_INTERRUPT },
		      .in = { .unique = unique } };
	struct fs_call call = { .done = client_done };

	call.chain.segments[0] = (struct iovec){ &request, sizeof request };
	call.chain.readable_count = 1;
	cr_assert(fs_serve(client.fs, &call));
}

static void ask_for_the_lock(uint64_t node, uint64_t handle)
{
	struct fuse_lk_in in = { .fh = handle, .owner = 9, .lk = { .type = F_WRLCK } };

	memcpy(client_body(&client), &in, sizeof in);
	(void)client_send(&client, FUSE_SETLKW, node, 40 + sizeof in, sizeof in, 4096);
}

Test(fs_lock, waiting_for_a_lock_is_interrupted)
{
	uint64_t node = 0, handle = 0;

	client_open(&client);
	cr_assert_eq(client_create(&client, 1, "f", O_RDWR, 0600, &node, &handle), 0);
	cr_assert_eq(lock(FUSE_SETLKW, node, handle, 7, F_WRLCK), 0);
	ask_for_the_lock(node, handle);
	interrupt(client.unique + 1000); /* of another request */
	for (int i = 0; i < 5; i++)
		cr_assert_eq(io_turn(client.io, 5), 0);
	cr_assert_not(client.done);
	interrupt(client.unique);
	cr_assert(client.done);
	cr_assert_eq(client_error(&client), -EINTR);
	interrupt(client.unique + 1);
	ask_for_the_lock(node, handle);
	cr_assert(client.done, "it was interrupted before it came");
	cr_assert_eq(client_error(&client), -EINTR);
	ask_for_the_lock(node, handle);
	cr_assert_not(client.done, "and the next one is not");
	fs_interrupt_all(client.fs);
	cr_assert_eq(client_error(&client), -EINTR);
	/* a guest that begins again counts its requests anew */
	interrupt(client.unique + 2);
	client_init(&client);
	ask_for_the_lock(node, handle);
	cr_assert_not(client.done, "it was meant for another");
	fs_interrupt_all(client.fs);
	cr_assert_eq(client_error(&client), -EINTR);
	cr_assert_eq(fs_pending(client.fs), 0);
	client_close(&client);
}

/* ---- leases: who has one is asked to give it up, and has time for that ---- */

static int take_lease(const char *name)
{
	int fd = open(host_path(&client, name), O_RDONLY | O_CLOEXEC);

	cr_assert_neq(signal(SIGIO, SIG_IGN), SIG_ERR);
	cr_assert_eq(fcntl(fd, F_SETLEASE, F_RDLCK), 0);
	return fd;
}

static void begin(uint32_t opcode, uint64_t node, const void *body, size_t size)
{
	memcpy(client_body(&client), body, size);
	cr_assert_not(
	    client_send(&client, opcode, node, (uint32_t)(40 + size), size, sizeof client.answer));
	for (int i = 0; i < 5; i++)
		cr_assert_eq(io_turn(client.io, 5), 0);
	cr_assert_not(client.done);
	cr_assert_eq(fs_pending(client.fs), 1);
}

static void give_up(int fd)
{
	cr_assert_eq(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	cr_assert_eq(client_error(&client), 0);
	cr_assert_eq(fs_pending(client.fs), 0);
	close(fd);
}

Test(fs_lock, a_lease_of_the_host_holds_up_nobody_else, .timeout = 40)
{
	struct {
		struct fuse_create_in in;
		char name[2];
	} create = { { .flags = O_RDWR | O_CREAT, .mode = 0600 }, "f" };
	struct fuse_setattr_in size = { .valid = FATTR_SIZE, .size = 2 };
	struct fuse_open_in writing = { .flags = O_WRONLY };
	struct fuse_entry_out *entry = client_answer(&client);
	uint64_t node = 0, handle = 0, reading = 0;
	struct fuse_open_out opened;
	int lease;

	client_open(&client);
	host_write(&client, "f", "text");
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	lease = take_lease("f");
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_WRONLY | O_NONBLOCK, &handle),
		     -EAGAIN);
	begin(FUSE_OPEN, node, &writing, sizeof writing);
	give_up(lease);
	memcpy(&opened, client_answer(&client), sizeof opened);
	cr_assert_eq(client_write(&client, node, opened.fh, 0, "T", 1), 0);
	cr_assert_eq(client_release(&client, node, opened.fh), 0);
	/* through what is open, and interrupted */
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &reading), 0);
	lease = take_lease("f");
	begin(FUSE_OPEN, node, &writing, sizeof writing);
	fs_interrupt_all(client.fs);
	cr_assert(client.done);
	cr_assert_eq(client_error(&client), -EINTR);
	begin(FUSE_SETATTR, node, &size, sizeof size);
	give_up(lease);
	cr_assert_str_eq(host_read(&client, "f"), "Te");
	cr_assert_eq(client_release(&client, node, reading), 0);
	lease = take_lease("f");
	begin(FUSE_CREATE, 1, &create, sizeof create);
	cr_assert_eq(fs_handle_count(client.fs), 0);
	give_up(lease);
	cr_assert_eq(entry->nodeid, node);
	memcpy(&opened, entry + 1, sizeof opened);
	cr_assert_eq(client_release(&client, node, opened.fh), 0);
	client_forget(&client, node, 2); /* nothing was counted while it waited */
	cr_assert_eq(fs_node_count(client.fs), 1);
	client_close(&client);
}

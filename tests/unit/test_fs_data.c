/* What is in the files of a share: read, written, synced and copied. */
#include "fuse_client.h"
#include <errno.h>
#include <sys/mman.h>

static struct client client;

Test(fs_data, large_data_goes_through_the_ring)
{
	static char block[90000];
	uint64_t node = 0, handle = 0;

	client_open(&client);
	memset(block, 'x', sizeof block);
	cr_assert_eq(client_create(&client, 1, "big", O_RDWR, 0600, &node, &handle), 0);
	cr_assert_eq(client_write(&client, node, handle, 7, block, sizeof block), 0);
	cr_assert_eq(client_read(&client, node, handle, 0, sizeof block), 0);
	cr_assert_eq(client.answer_size, sizeof block);
	cr_assert_eq(memcmp(client_answer(&client), "\0\0\0\0\0\0\0xxx", 10), 0);
	cr_assert_eq(client_read(&client, node, handle, sizeof block, 100), 0);
	cr_assert_eq(client.answer_size, 7);
	client_close(&client);
}

Test(fs_data, slow_calls_are_answered)
{
	struct fuse_fsync_in sync = { 0 };
	struct fuse_fallocate_in allocate = { .offset = 0, .length = 5000 };
	struct fuse_copy_file_range_in copy = { .len = 100 };
	struct fuse_syncfs_in all = { 0 };
	struct fuse_lseek_in seek = { .whence = SEEK_HOLE };
	uint64_t node = 0, handle = 0, to = 0, to_handle = 0;
	struct fuse_attr attr;

	client_open(&client);
	cr_assert_eq(client_create(&client, 1, "f", O_RDWR, 0600, &node, &handle), 0);
	sync.fh = allocate.fh = copy.fh_in = seek.fh = handle;
	cr_assert_eq(client_ask(&client, FUSE_FSYNC, node, &sync, sizeof sync, NULL, NULL), 0);
	cr_assert_eq(
	    client_ask(&client, FUSE_FALLOCATE, node, &allocate, sizeof allocate, NULL, NULL), 0);
	cr_assert_eq(client_getattr(&client, node, &attr), 0);
	cr_assert_eq(attr.size, 5000);
	cr_assert_eq(client_create(&client, 1, "g", O_RDWR, 0600, &to, &to_handle), 0);
	copy.nodeid_out = to;
	copy.fh_out = to_handle;
	cr_assert_eq(
	    client_ask(&client, FUSE_COPY_FILE_RANGE, node, &copy, sizeof copy, NULL, NULL), 0);
	cr_assert_eq(((struct fuse_write_out *)client_answer(&client))->size, 100);
	copy.off_in = 5000; /* its end */
	cr_assert_eq(
	    client_ask(&client, FUSE_COPY_FILE_RANGE, node, &copy, sizeof copy, NULL, NULL), 0);
	cr_assert_eq(client.answer_size, sizeof(struct fuse_write_out));
	cr_assert_eq(((struct fuse_write_out *)client_answer(&client))->size, 0);
	cr_assert_eq(client_ask(&client, FUSE_LSEEK, node, &seek, sizeof seek, NULL, NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_SYNCFS, 1, &all, sizeof all, NULL, NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_IOCTL, node, NULL, 0, NULL, NULL), -ENOTTY);
	client_close(&client);
}

/* Where the host cannot go on in the middle of a read, whatever the reason: memory that it may not
 * write to gives the same as a disk that is broken there. Less than wanted would be the end of the
 * file to the guest, and zeroes behind it. */
Test(fs_data, an_error_in_the_middle_is_no_end)
{
	struct fuse_read_in in = { .size = 12000 };
	uint64_t node = 0;
	static char block[12000];
	uint8_t *room;

	client_open(&client);
	room = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(room, MAP_FAILED);
	cr_assert_eq(mprotect(room + 4096, 4096, PROT_NONE), 0);
	memset(block, 'x', sizeof block);
	cr_assert_eq(client_create(&client, 1, "f", O_RDWR, 0600, &node, &in.fh), 0);
	cr_assert_eq(client_write(&client, node, in.fh, 0, block, sizeof block), 0);
	/* the answer's header is elsewhere */
	memcpy(client_body(&client), &in, sizeof in);
	client_make(&client, FUSE_READ, node, 40 + sizeof in, sizeof in, 16);
	client.call.chain.segments[2] = (struct iovec){ room, 16384 };
	client.call.chain.writable_count = 2;
	client.done = fs_serve(client.fs, &client.call);
	cr_assert_eq(client_error(&client), -EFAULT);
	cr_assert_eq(fs_pending(client.fs), 0);
	/* what ends there has no error */
	in.size = 4096;
	memcpy(client_body(&client), &in, sizeof in);
	client_make(&client, FUSE_READ, node, 40 + sizeof in, sizeof in, 16);
	client.call.chain.segments[2] = (struct iovec){ room, 16384 };
	client.call.chain.writable_count = 2;
	client.done = fs_serve(client.fs, &client.call);
	cr_assert_eq(client_error(&client), 0);
	cr_assert_eq(client.answer_size, 4096);
	cr_assert_eq(memcmp(room, block, 4096), 0);
	cr_assert_eq(munmap(room, 16384), 0);
	client_close(&client);
}

static int write_with(uint64_t node, uint64_t handle, uint32_t flags, uint32_t size)
{
	struct fuse_write_in in = { .fh = handle, .size = size, .flags = flags };

	memcpy(client_body(&client), &in, sizeof in);
	(void)client_send(&client, FUSE_WRITE, node, (uint32_t)(40 + sizeof in) + size,
			  sizeof in + size, 64);
	return client_error(&client);
}

/* By the call that writes so: one that fails is missed. */
Test(fs_data, what_is_to_be_on_the_disk_is_written_so)
{
	for (enum fs_cache cache = FS_CACHE_AUTO; cache <= FS_CACHE_NEVER; cache++) {
		/* what the guest caches it syncs by itself */
		int failed = cache == FS_CACHE_NEVER ? -EIO : 0;
		struct sys_fault fault = { .call = "pwritev2", .result = -EIO, .count = 100 };
		uint64_t node = 0, handle = 0;
		const uint32_t sizes[] = { 1, 90000 };

		client_open_config(&client, (struct fs_config){ .cache = cache });
		client_init(&client);
		cr_assert_eq(client_create(&client, 1, "f", O_RDWR, 0600, &node, &handle), 0);
		for (size_t i = 0; i < 2; i++) {
			sys_inject(&fault);
			cr_assert_eq(write_with(node, handle, O_RDWR, sizes[i]), 0);
			cr_assert_eq(write_with(node, handle, O_RDWR | O_DSYNC, sizes[i]), failed);
			cr_assert_eq(write_with(node, handle, O_RDWR | O_SYNC, sizes[i]), failed);
			sys_inject(NULL);
			cr_assert_eq(write_with(node, handle, O_RDWR | O_SYNC, sizes[i]), 0);
			cr_assert_eq(((struct fuse_write_out *)client_answer(&client))->size,
				     sizes[i]);
			cr_assert_eq(client.call.from_guest, sizes[i]);
		}
		client_close(&client);
	}
}
